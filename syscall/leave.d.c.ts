/** The text of leave.c. */
declare const source: string;
export default source;

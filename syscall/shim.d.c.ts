/** The text of shim.c. */
declare const source: string;
export default source;

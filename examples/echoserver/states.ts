/** The numbers that say what a completion is about, and what a connection is doing. */

// What a completion is about: the upper half of its user data. The lower half is the connection, if it is about one.
/** Nothing that anything follows from. */
export const ON_OTHER = 0;
export const ON_RECEIVE = 1;
/** A send that only reports that it did not go through. */
export const ON_QUICK_SEND = 2;
export const ON_SEND = 3;
export const ON_CANCEL = 4;
export const ON_ACCEPT = 5;
/** Accepting has rested. */
export const ON_PAUSE_END = 6;
/** The client sends nothing more. */
export const ON_END = 7;

// What a connection is about: bits of its state. 0: there is none.
export const IS_OPEN = 1;
/** A receive is with the kernel. */
export const IS_RECEIVING = 2;
/** Is in the list of those that receive again when there are buffers. */
export const IS_STARVING = 4;
/** Is in the list of those that have something to send. */
export const IS_READY = 8;
/** Is in the list of those whose quick send is queued or submitted. */
export const IS_QUICK = 16;
/** A send that reports its completion is with the kernel. */
export const IS_SENDING = 32;
/** Did not take its answer. */
export const IS_BEHIND = 64;
/** Sends nothing more: is closed when it has its answer. */
export const HAS_ENDED = 128;
/** Its client sends nothing more: what is left is received one piece at a time, and then the end. */
export const IS_ENDING = 256;
/** What keeps a connection from being closed. */
export const IS_BUSY: number = IS_RECEIVING | IS_STARVING | IS_READY | IS_QUICK | IS_SENDING;

/** What a connection is doing: bits of its state. */

/** Its users may use it. */
export const IS_OPEN = 1;
/** A receive is with the kernel, or waits to be. */
export const IS_RECEIVING = 2;
/** Its users do not want data now. */
export const IS_PAUSED = 4;
/** The peer sends nothing more, and that was told. */
export const HAS_ENDED = 8;
/** The peer sends nothing more, which is to be told when it is no longer paused. */
export const ENDS_LATER = 16;
/** Sends nothing more. */
export const IS_SHUT = 32;
/** The peer is to be told that nothing more comes, when all is sent. */
export const SHUTS_LATER = 64;
/** Is to be closed when all is sent: for its users it is closed. */
export const CLOSES_LATER = 128;
/** Is to be closed when there is room to send again. */
export const CLOSES_AFTER_DRAIN = 256;
/** Has gathered something, and is in the list of those that have. */
export const IS_DIRTY = 512;
/** What it gathered is being sent. */
export const IS_QUICK = 1024;
/** What the socket did not take is being sent from memory of its own. */
export const IS_BEHIND = 2048;
/** A write was not taken in full. */
export const WANTS_DRAIN = 4096;
/** Goes on when the peer has ended. */
export const IS_HALF_OPEN = 8192;
/** Is kept alive by a hold of its own: no request of it is in flight that would. */
export const IS_HELD = 16_384;
/** Does not keep the process alive. */
export const IS_UNREFED = 32_768;
/** Has requests that name its descriptor while it closes. */
export const IS_NAMED = 65_536;
/** The peer's end was seen: what is left is received piece by piece. */
export const IS_FINITE = 131_072;
/** Its peer's end is watched for, or will be looked for in a moment. */
export const IS_WATCHED = 262_144;

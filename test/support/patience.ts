/**
 * How much longer than on a machine of its own everything may take: in a machine that software emulates, ten times and
 * more. URING_TEST_PATIENCE says so.
 */
export const patience: number = Number(process.env["URING_TEST_PATIENCE"] ?? 1);

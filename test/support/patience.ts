/**
 * How much longer than on a machine of its own everything may take: in a machine that software emulates, ten times and
 * more. URING_TEST_PATIENCE says so.
 */
export const patience: number = Number(process.env["URING_TEST_PATIENCE"] ?? 1);

/**
 * Whether that is so. What is no kernel's business, Bun's own implementations above all, is then tried in part: it is
 * tried in full wherever else the tests run.
 */
export const isEmulated: boolean = patience > 1;

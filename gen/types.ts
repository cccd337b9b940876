/**
 * The scalar types that uapi headers use, as x86-64 and arm64 lay them out (both LP64, little-endian, same alignments).
 */

/** Size and alignment in bytes, and whether values are signed. */
export interface BaseType {
  readonly size: number;
  readonly align: number;
  readonly signed: boolean;
}

function scalar(size: number, signed: boolean): BaseType {
  return { size, align: size, signed };
}

/** Scalar types by the words that spell them. */
export const BASE_TYPES: ReadonlyMap<string, BaseType> = new Map([
  ["char", scalar(1, true)],
  ["signed char", scalar(1, true)],
  ["unsigned char", scalar(1, false)],
  ["short", scalar(2, true)],
  ["unsigned short", scalar(2, false)],
  ["signed", scalar(4, true)],
  ["int", scalar(4, true)],
  ["unsigned", scalar(4, false)],
  ["unsigned int", scalar(4, false)],
  ["long", scalar(8, true)],
  ["unsigned long", scalar(8, false)],
  ["long long", scalar(8, true)],
  ["unsigned long long", scalar(8, false)],
  ["void", { size: 1, align: 1, signed: false }],
  ["__u8", scalar(1, false)],
  ["__u16", scalar(2, false)],
  ["__u32", scalar(4, false)],
  ["__u64", scalar(8, false)],
  ["__s8", scalar(1, true)],
  ["__s16", scalar(2, true)],
  ["__s32", scalar(4, true)],
  ["__s64", scalar(8, true)],
  ["__be16", scalar(2, false)],
  ["__be32", scalar(4, false)],
  ["__be64", scalar(8, false)],
  ["__le16", scalar(2, false)],
  ["__le32", scalar(4, false)],
  ["__le64", scalar(8, false)],
  ["__aligned_u64", scalar(8, false)],
  ["__aligned_s64", scalar(8, true)],
  ["__kernel_rwf_t", scalar(4, true)],
  ["__kernel_time64_t", scalar(8, true)],
  ["__kernel_time_t", scalar(8, true)],
  ["__kernel_old_time_t", scalar(8, true)],
  ["__kernel_long_t", scalar(8, true)],
  ["__kernel_suseconds_t", scalar(8, true)],
  ["__kernel_size_t", scalar(8, false)],
]);

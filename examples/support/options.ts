/**
 * Command lines as getopt_long(3) reads them: options in any place, short ones together, `--` before the last operand.
 */
import { quote } from "./messages.ts";

/** What a command line asks for. */
export interface CommandLine<Name extends string> {
  /** The options that were given, by the names that the program uses. */
  readonly options: ReadonlySet<Name>;
  readonly operands: readonly string[];
}

/** A command line that the program cannot follow: its message is what to say before "Try 'cat --help'". */
export class UsageError extends Error {}

/**
 * Reads the arguments of a program whose options take no values.
 *
 * @param spellings each way to write an option ("-p", "--preserve") and the option's name.
 * @throws UsageError for an option that is not among them.
 */
export function parseArguments<Name extends string>(
  args: readonly string[],
  spellings: Readonly<Record<string, Name>>,
): CommandLine<Name> {
  const options = new Set<Name>();
  const operands: string[] = [];
  let ended = false;
  for (const arg of args) {
    if (ended || arg === "-" || !arg.startsWith("-")) operands.push(arg);
    else if (arg === "--") ended = true;
    else if (arg.startsWith("--")) options.add(named(arg, `unrecognized option ${quote(arg)}`));
    else for (const letter of arg.slice(1)) options.add(named(`-${letter}`, `invalid option -- ${quote(letter)}`));
  }
  return { options, operands };

  function named(spelling: string, otherwise: string): Name {
    const name = spellings[spelling];
    if (name === undefined) throw new UsageError(otherwise);
    return name;
  }
}

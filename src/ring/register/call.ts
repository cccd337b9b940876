/** What every registration is made with: the call, by the ring's descriptor or its registered index. */
import { UringError } from "../../errors.ts";
import type { Memory } from "../../memory.ts";
import { Builders } from "../builders.gen.ts";
import type { RingResource } from "../ring.ts";
import type { RingSetup } from "../setup.ts";
import { transientAddress } from "../transient.ts";

/** @internal io_uring_register(2) on a ring. Its registrations stand on top of it, family by family. */
export abstract class Registering extends Builders {
  /**
   * io_uring_register(2) itself, for what has no method here: its result.
   *
   * @param opcode IORING_REGISTER_* or IORING_UNREGISTER_*.
   * @param argument memory laid out as the opcode wants it, or 0; the caller's to keep as long as the opcode asks.
   * @throws UringError with what the kernel says.
   * @kernel 5.1
   * @man io_uring_register(2)
   */
  register(opcode: number, argument: Memory, count: number): number {
    const result = this.tryRegister(opcode, transientAddress(argument), count);
    if (result < 0) throw new UringError(result, `io_uring_register, opcode ${opcode}`);
    return result;
  }

  /** The same by the opcode's name, which a failure then has, with the likely cause. */
  protected call(name: string, opcode: number, address: number, count: number, causes?: Causes): number {
    const result = this.tryRegister(opcode, address, count);
    if (result < 0) throw new UringError(result, name, causes?.[-result]);
    return result;
  }

  /** Throws where no call may be made: the ring is closed, or this is a forked child. */
  protected abstract checkOpen(): void;

  /** The same with `-errno` as a value. */
  protected abstract tryRegister(opcode: number, address: number, count: number): number;

  /** The ring's descriptor, or its registered index where it has no descriptor. */
  abstract get fd(): number;

  /** Whether the ring has no descriptor but a registered index (IORING_SETUP_REGISTERED_FD_ONLY). */
  protected abstract get indexOnly(): boolean;

  /** What the kernel gave the ring. */
  abstract get setup(): RingSetup;

  /** Whether the kernel has all these IORING_FEAT_*. */
  abstract hasFeature(bits: number): boolean;

  /** Has `resource` closed with the ring. */
  abstract adopt(resource: RingResource): void;

  /** Lets go of what registrations keep. The ring is closing; the kernel drops its side by itself. */
  protected abstract forgetRegistrations(): void;
}

/** What an errno most likely means, by its positive number. */
export type Causes = Readonly<Record<number, string>>;

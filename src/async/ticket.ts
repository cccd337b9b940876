/** Requests for those who count bytes: a handler that is there before, and nothing allocated per operation. */
import { EINVAL } from "../abi/errno.gen.ts";
import { describe, stateError, typeError, UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import { prepClose } from "../ring/prep/open.ts";
import { checkCallback } from "../ring/sqe.ts";
import { Operations } from "./operations.gen.ts";
import { checkRequestOptions, type RequestOptions } from "./options.ts";
import type { Reactor } from "./reactor.ts";
import { type Operation, Request } from "./request.ts";

/**
 * What is called when a ticket's request is over: with `res`, 0 or more or `-errno`, and the ticket, which is free for
 * the next request by then.
 */
export type TicketHandler = (res: number, ticket: Ticket) => void;

const CLOSE: Operation = { name: "IORING_OP_CLOSE", prep: prepClose, yields: "count", wide: false };
const NONE: Operation = { name: "none", prep: () => undefined, yields: "count", wide: false };

/**
 * One request at a time, again and again, with one handler. The methods are those of {@link AsyncRing} without their
 * promises; a request that is made allocates nothing, and one that comes of the handler leaves in the same system call
 * as the others of its turn. What the request was given is kept until its last completion, as everywhere.
 *
 * ```ts
 * const ticket = io.ticket((res, ticket) => {
 *   if (res > 0) ticket.recv(fd, buffer);
 * });
 * ticket.recv(fd, buffer);
 * ```
 *
 * The methods throw what a promise would reject with before anything is submitted, and Error `ERR_URING_STATE` while a
 * request is under way. Of the options `signal` is refused: {@link cancel} is what it would do.
 */
export class Ticket extends Operations<void, void> {
  readonly #reactor: Reactor;
  readonly #request: TicketRequest;

  /** @internal {@link AsyncRing.ticket} makes them. */
  constructor(reactor: Reactor, handler: TicketHandler) {
    super();
    checkCallback(handler);
    this.#reactor = reactor;
    this.#request = new TicketRequest(this, handler);
  }

  /** Whether its request is under way. */
  get busy(): boolean {
    return this.#request.busy;
  }

  protected override request(
    operation: Operation,
    options: RequestOptions | undefined,
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
  ): void {
    const request = this.#request;
    if (request.busy) throw stateError("ERR_URING_STATE", "Cannot make a request: this ticket's is still under way");
    if (options !== undefined) {
      checkRequestOptions(options);
      if (options.signal !== undefined) {
        throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options.signal)} here: a ticket has cancel()`);
      }
    }
    request.operation = operation;
    request.given = options;
    request.a = a;
    request.b = b;
    request.c = c;
    request.d = d;
    request.e = e;
    request.f = f;
    request.begin(this.#reactor);
  }

  protected override requestSent(
    operation: Operation,
    options: RequestOptions | undefined,
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
  ): void {
    this.request(operation, options, a, b, c, d, e, f);
  }

  /** Closes a descriptor. @kernel 5.6 @man io_uring_prep_close(3) */
  close(fd: number, options?: RequestOptions): void {
    this.request(CLOSE, options, fd);
  }

  /** Asks the kernel to let go of the request, if one is under way: the handler is called when it has. */
  cancel(): void {
    this.#request.cancel(this.#reactor);
  }
}

class TicketRequest extends Request {
  /** Whether it is under way. */
  busy = false;
  /** The options of this time. */
  given: RequestOptions | undefined;
  readonly #ticket: Ticket;
  readonly #handler: TicketHandler;
  /** The first result of a sending without copying, whose second only says that the memory is free. */
  #res = 0;
  /** While it is being queued: what refused it. */
  #entering = false;
  #refusal: unknown;

  constructor(ticket: Ticket, handler: TicketHandler) {
    super(NONE, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#ticket = ticket;
    this.#handler = handler;
  }

  override get options(): RequestOptions | undefined {
    return this.given;
  }

  override get slots(): number {
    return super.slots + (this.given?.timeoutMs === undefined ? 0 : 1);
  }

  begin(reactor: Reactor): void {
    this.busy = true;
    this.#entering = true;
    this.#refusal = undefined;
    reactor.enqueue(this);
    this.#entering = false;
    if (this.#refusal === undefined) return;
    this.#forget();
    throw this.#refusal;
  }

  cancel(reactor: Reactor): void {
    if (this.slot >= 0) reactor.cancel(this);
    else if (this.busy) reactor.giveUp(this);
  }

  complete(reactor: Reactor, cqe: Cqe): void {
    if (!cqe.notification) this.#res = cqe.res;
    if (cqe.more) return;
    reactor.release(this);
    this.#over(this.#res);
  }

  fail(error: unknown): void {
    if (this.#entering) this.#refusal = error ?? new Error("refused");
    else this.#over(error instanceof UringError ? error.errno : -EINVAL);
  }

  #forget(): void {
    this.busy = false;
    this.given = this.held = this.a = this.b = this.c = this.d = this.e = this.f = undefined;
  }

  #over(res: number): void {
    this.#forget();
    try {
      this.#handler(res, this.#ticket);
    } catch (error) {
      // It is nobody's but the process's to catch, and the other completions are not to be lost with it.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

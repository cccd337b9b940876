/** bun-uring: io_uring for Bun, complete, with no run-time dependencies. */
export * from "./abi/constants.gen.ts";
export * from "./abi/errno.gen.ts";
export * from "./abi/linux.ts";
export { AsyncRing } from "./async/asyncring.ts";
export type { AsyncRingStats } from "./async/asyncring.ts";
export { ChainError } from "./async/chain.ts";
export type { ChainBuilder, ChainOptions } from "./async/chain.ts";
export { io } from "./async/io.ts";
export type { Messages, RingMessage, RingPort } from "./async/messages.ts";
export type { AcceptOptions, TickOptions } from "./async/multishots.ts";
export type { AsyncRingOptions, RequestOptions } from "./async/options.ts";
export type { ZeroCopySent } from "./async/promise.ts";
export type { BytesOptions, LentBytes, MessageOptions, ReceivedMessage } from "./async/shots.ts";
export type { MultishotIterator, ShotOptions } from "./async/stream.ts";
export type { Ticket, TicketHandler } from "./async/ticket.ts";
export { errnoMessage, errnoName, UringError } from "./errors.ts";
export type { ArgumentErrorCode } from "./errors.ts";
export { addressOf, Mapping } from "./memory.ts";
export type { Located, MappingOptions, Memory, Path } from "./memory.ts";
export { BufferRing } from "./ring/bufferring.ts";
export type { BufferRingOptions } from "./ring/bufferring.ts";
export {
  controlDescriptors,
  ControlMessages,
  controlPacketInfo,
  controlSpace,
  controlTimestamp,
  forEachControl,
} from "./ring/cmsg.ts";
export type { ControlCallback, PacketInfo } from "./ring/cmsg.ts";
export type { Cqe } from "./ring/cqe.ts";
export type { RingOptions } from "./ring/params.ts";
export { BpfProgram, registerBpfFilterTask } from "./ring/bpf.ts";
export type { BpfComparison, BpfField, BpfFilter, BpfOperand, BpfOperation } from "./ring/bpf.ts";
export { registerSyncMsg } from "./ring/message.ts";
export type { SyncMessageOptions } from "./ring/message.ts";
export { BufferPool } from "./ring/pool.ts";
export type { BufferPoolOptions, PoolBuffer } from "./ring/pool.ts";
export type { FileOffset, UserData } from "./ring/prep/slot.ts";
export { getProbe } from "./ring/probe.ts";
export type { Probe, ProbeSource, ProbeSources } from "./ring/probe.ts";
export { quirks } from "./ring/quirks.ts";
export type { Quirk } from "./ring/quirks.ts";
export { registerQuery } from "./ring/query.ts";
export type { Queries, QueryOpcodes, QueryScq, QueryZcrx, QueryZcrxEvent } from "./ring/query.ts";
export type { NapiSettings, NapiTracking } from "./ring/register/network.ts";
export type { WorkerLimits } from "./ring/register/policy.ts";
export type { BufRingRegistration } from "./ring/register/provided.ts";
export type { CancelMatch, RingSizes } from "./ring/register/queues.ts";
export type { RegionOptions } from "./ring/register/waits.ts";
export type { RegisteredWaitOptions, RegisteredWaits } from "./ring/regwait.ts";
export { registerRestrictionsTask } from "./ring/restrict.ts";
export type { Restrictions } from "./ring/restrict.ts";
export { RecvmsgOut } from "./ring/recvmsg.ts";
export type { RecvmsgRoom } from "./ring/recvmsg.ts";
export { Ring } from "./ring/ring.ts";
export type { RingResource } from "./ring/ring.ts";
export type { RingSetup } from "./ring/setup.ts";
export { SockAddr } from "./ring/sockaddr.ts";
export type { SocketAddress } from "./ring/sockaddr.ts";
export type { Sqe } from "./ring/sqe.ts";
export { Statx } from "./ring/statx.ts";
export { Iovecs, Msghdr, OpenHow, Timespec } from "./ring/structs.ts";
export type { MsghdrParts } from "./ring/structs.ts";
export { Tickets } from "./ring/tickets.ts";
export type { WaitOptions } from "./ring/wait.ts";
export type { ZcrxEvents, ZcrxOptions, ZcrxQueue, ZcrxStats } from "./ring/zcrx.ts";

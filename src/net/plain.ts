/** What a socket without TLS answers to what is about TLS. */
import { stateError } from "../errors.ts";

/** The answers of Bun's own sockets that have no TLS. */
export abstract class PlainSocket {
  /** There is no peer to be sure of. */
  get authorized(): boolean {
    return false;
  }

  /** No protocol was agreed upon. */
  get alpnProtocol(): false {
    return false;
  }

  /** Nothing was verified. */
  getAuthorizationError(): null {
    return null;
  }

  /** There is none. */
  getCertificate(): undefined {}

  /** There is none. */
  getCipher(): undefined {}

  /** There is none. */
  getEphemeralKeyInfo(): null {
    return null;
  }

  /** There is none. */
  getPeerCertificate(_abbreviated: unknown): null {
    return null;
  }

  /** There are none. */
  getSharedSigalgs(): undefined {}

  /** There is none. */
  getTLSFinishedMessage(): undefined {}

  /** There is none. */
  getTLSPeerFinishedMessage(): undefined {}

  /** There is none. */
  getTLSTicket(): undefined {}

  /** There is none. */
  getTLSVersion(): null {
    return null;
  }

  /** There is none to be used again. */
  isSessionReused(): boolean {
    return false;
  }

  /** Nothing is cut into fragments. */
  setMaxSendFragment(_size: number): boolean {
    return false;
  }

  /** Does nothing. */
  disableRenegotiation(): void {}

  /** Does nothing. */
  renegotiate(): void {}

  /** There is none. */
  getSession(): undefined {}

  /** Does nothing. */
  setSession(_session: unknown): void {}

  /** There is none. */
  getServername(): undefined {}

  /** Does nothing. */
  setServername(_name: string): void {}

  /** Does nothing. */
  setVerifyMode(_requestCert: boolean, _rejectUnauthorized: boolean): void {}

  /** There is none. */
  exportKeyingMaterial(_length: number, _label: string, _context?: unknown): undefined {}

  /** Refuses. @throws Error `ERR_URING_UNSUPPORTED`. */
  upgradeTLS(_options: unknown): never {
    throw stateError(
      "ERR_URING_UNSUPPORTED",
      "Cannot upgrade to TLS: sockets of bun-uring/net have none; use Bun.connect",
    );
  }
}

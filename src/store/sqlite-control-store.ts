import { Worker } from 'node:worker_threads';
import { HoldfastError } from '../base/errors.ts';
import type {
  ApprovalPage,
  ApprovalResolution,
  ApprovalRow,
  ApprovalVote,
  AuditRange,
  AuditWrite,
  ControlStore,
  RenewedKey,
  RestraintLift,
  RestraintRow,
  SignedCut,
  SignedHeadRow,
  TokenRow,
} from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';
import type { AnswerMessage, CallMessage } from './sqlite-worker.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: HoldfastError): void;
}

/** The control store in one SQLite file, which a worker thread owns so that a slow disk stops no session. */
export class SqliteControlStore implements ControlStore {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #gone: HoldfastError | undefined;

  /**
   * Creates the file where there is none. Refuses with STORE_FAILED and one sentence. `chainUrl` is the module of
   * the AuditChain by which audit blocks are chained; null leaves them as they are.
   */
  static async open(path: string, chainUrl: string | null = null): Promise<SqliteControlStore> {
    const store = new SqliteControlStore(path, chainUrl);
    await new Promise((resolve, reject) => store.#waiting.set(0, { resolve, reject }));
    return store;
  }

  private constructor(path: string, chainUrl: string | null) {
    this.#worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
      workerData: { path, chainUrl },
      name: 'store',
    });
    this.#worker.on('message', (answer: AnswerMessage) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#lose(`the store's thread failed: ${error.message}`, error));
    this.#worker.on('exit', () => this.#lose('the store is closed'));
  }

  appendAudit(write: AuditWrite) {
    return this.#call('appendAudit', write);
  }

  auditHead() {
    return this.#call('auditHead');
  }

  readAudit(range: AuditRange) {
    return this.#call('readAudit', range);
  }

  auditEndBefore(timeMs: number, rowsMax: number) {
    return this.#call('auditEndBefore', timeMs, rowsMax);
  }

  cutAudit(cut: SignedCut) {
    return this.#call('cutAudit', cut);
  }

  insertSignedHead(head: SignedHeadRow) {
    return this.#call('insertSignedHead', head);
  }

  newestSignedHead() {
    return this.#call('newestSignedHead');
  }

  markAnchored(head: SignedHeadRow) {
    return this.#call('markAnchored', head);
  }

  insertApproval(row: ApprovalRow, text: string | null = null) {
    return this.#call('insertApproval', row, text);
  }

  approvalText(id: string) {
    return this.#call('approvalText', id);
  }

  resolveApproval(id: string, resolution: ApprovalResolution) {
    return this.#call('resolveApproval', id, resolution);
  }

  voteApproval(vote: ApprovalVote) {
    return this.#call('voteApproval', vote);
  }

  consumeGrant(id: string, atMs: number, by: string) {
    return this.#call('consumeGrant', id, atMs, by);
  }

  detachApprovals(atMs: number) {
    return this.#call('detachApprovals', atMs);
  }

  otherKeys(prefix: string, nowMs: number) {
    return this.#call('otherKeys', prefix, nowMs);
  }

  renewKeys(prefix: string, renewed: readonly RenewedKey[]) {
    return this.#call('renewKeys', prefix, renewed);
  }

  dropApprovals(beforeMs: number, limit: number) {
    return this.#call('dropApprovals', beforeMs, limit);
  }

  approvalsOfKey(key: string, limit: number) {
    return this.#call('approvalsOfKey', key, limit);
  }

  approval(id: string) {
    return this.#call('approval', id);
  }

  approvals(page: ApprovalPage) {
    return this.#call('approvals', page);
  }

  setApprovalPreview(approvalId: string, body: string, rowSet: Uint8Array | null) {
    return this.#call('setApprovalPreview', approvalId, body, rowSet);
  }

  approvalRowSet(approvalId: string) {
    return this.#call('approvalRowSet', approvalId);
  }

  replaceApprovalPreview(approvalId: string, body: string, rowSet: Uint8Array | null) {
    return this.#call('replaceApprovalPreview', approvalId, body, rowSet);
  }

  approvalPreview(approvalId: string) {
    return this.#call('approvalPreview', approvalId);
  }

  insertRestraint(row: RestraintRow) {
    return this.#call('insertRestraint', row);
  }

  liftRestraint(id: string, lift: RestraintLift) {
    return this.#call('liftRestraint', id, lift);
  }

  restraints(nowMs: number) {
    return this.#call('restraints', nowMs);
  }

  keepWebhooks(names: readonly string[]) {
    return this.#call('keepWebhooks', names);
  }

  outbox(webhook: string, nowMs: number, limit: number) {
    return this.#call('outbox', webhook, nowMs, limit);
  }

  outboxDueMs(webhook: string) {
    return this.#call('outboxDueMs', webhook);
  }

  retryOutbox(webhook: string) {
    return this.#call('retryOutbox', webhook);
  }

  deferOutbox(seq: number, untilMs: number) {
    return this.#call('deferOutbox', seq, untilMs);
  }

  deleteOutbox(seqs: readonly number[]) {
    return this.#call('deleteOutbox', seqs);
  }

  outboxSize() {
    return this.#call('outboxSize');
  }

  insertToken(token: TokenRow) {
    return this.#call('insertToken', token);
  }

  deleteTokens(names: readonly string[]) {
    return this.#call('deleteTokens', names);
  }

  tokens() {
    return this.#call('tokens');
  }

  meta(key: string) {
    return this.#call('meta', key);
  }

  setMeta(key: string, value: string) {
    return this.#call('setMeta', key, value);
  }

  async close(): Promise<void> {
    if (this.#gone !== undefined) return;
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    await this.#send('close', []);
    await exited;
  }

  #call<Name extends keyof StoreCalls>(
    name: Name,
    ...parameters: Parameters<StoreCalls[Name]>
  ): Promise<ReturnType<StoreCalls[Name]>> {
    return this.#send(name, parameters) as Promise<ReturnType<StoreCalls[Name]>>;
  }

  #send(name: CallMessage['name'], parameters: readonly unknown[]): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, parameters } satisfies CallMessage);
    });
  }

  #settle(answer: AnswerMessage): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.ok) waiting?.resolve(answer.value);
    else waiting?.reject(new HoldfastError('STORE_FAILED', answer.message, detailOf(answer.detail)));
  }

  #lose(message: string, cause?: unknown): void {
    this.#gone ??= new HoldfastError('STORE_FAILED', message, cause === undefined ? {} : { cause });
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone);
    this.#waiting.clear();
  }
}

function detailOf(detail: string | undefined): { detail?: string } {
  return detail === undefined ? {} : { detail };
}

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from './ports.ts';
import { reapAtExit } from './reap.ts';

const run = promisify(execFile);

export const S3_ACCESS_KEY = 'holdfastkey';
export const S3_SECRET_KEY = 'holdfastsecret';
/** A KMS key that the server knows, in the way of a server for tests. */
export const S3_KMS_KEY = 'key-of-tests';

/**
 * A real S3 server in a folder of its own: Ceph's gateway with one monitor and one object store in memory, from
 * Debian's packages radosgw, ceph-mon, ceph-osd and ceph-common. What it has acknowledged outlives the gateway, which
 * can be killed and started again, but not stop().
 */
export class S3Server {
  readonly port: number;
  readonly #folder: string;
  readonly #children: ChildProcess[];
  #gateway: ChildProcess | undefined;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
    this.#children = [];
  }

  static async start(): Promise<S3Server> {
    const [port = 0, monitor = 0, monitorOld = 0] = await freePorts(3);
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-s3-'));
    const server = new S3Server(port, folder);
    try {
      await server.#startCluster([monitor, monitorOld]);
      await server.startGateway();
      await server.#run('radosgw-admin', [
        ...['user', 'create', '--uid=holdfast', '--display-name=holdfast'],
        ...[`--access-key=${S3_ACCESS_KEY}`, `--secret-key=${S3_SECRET_KEY}`],
      ]);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async startGateway(): Promise<void> {
    this.#gateway = this.#spawn('radosgw', ['-f', '--name', 'client.rgw.a', '--keyring', this.#keyring]);
    const gateway = this.#gateway;
    for (let tries = 0; tries < 600; tries++) {
      if (gateway.exitCode !== null) throw new Error(`radosgw did not start:\n${await this.#log()}`);
      if (await accepts(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`radosgw did not accept within 30 s:\n${await this.#log()}`);
  }

  /** As a power cut would end it. */
  async killGateway(): Promise<void> {
    await end(this.#gateway);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map(end));
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #keyring(): string {
    return join(this.#folder, 'keyring');
  }

  get #configuration(): string {
    return join(this.#folder, 'ceph.conf');
  }

  async #startCluster(monitorPorts: readonly [number, number]): Promise<void> {
    const fsid = crypto.randomUUID();
    for (const name of ['log', 'mon', 'osd', 'run']) await mkdir(join(this.#folder, name));
    await writeFile(this.#configuration, cephConfiguration(this.#folder, fsid, monitorPorts, this.port));
    for (const name of ['mon.', 'client.admin', 'osd.0', 'client.rgw.a']) {
      const caps = ['mon', 'osd', 'mgr'].flatMap((daemon) => ['--cap', daemon, 'allow *']);
      const create = name === 'mon.' ? ['--create-keyring'] : [];
      await run('ceph-authtool', [this.#keyring, ...create, '--gen-key', '-n', name, ...caps]);
    }
    const map = join(this.#folder, 'monmap');
    const [two, one] = monitorPorts;
    const addresses = `[v2:127.0.0.1:${two},v1:127.0.0.1:${one}]`;
    await run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', addresses, map]);
    await this.#run('ceph-mon', ['--mkfs', '-i', 'a', '--monmap', map, '--keyring', this.#keyring]);
    this.#spawn('ceph-mon', ['-f', '-i', 'a']);
    await this.#run('ceph', ['--connect-timeout', '30', 'osd', 'create']);
    await this.#run('ceph-osd', ['-i', '0', '--mkfs']);
    await this.#run('ceph', ['osd', 'crush', 'add', 'osd.0', '1', 'root=default']);
    this.#spawn('ceph-osd', ['-f', '-i', '0']);
  }

  async #run(program: string, parameters: readonly string[]): Promise<void> {
    await run(program, ['-c', this.#configuration, ...parameters], { timeout: 60_000 });
  }

  /** The kernel ends the child with this process, however this process ends. */
  #spawn(program: string, parameters: readonly string[]): ChildProcess {
    const child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', program, '-c', this.#configuration, ...parameters],
      { stdio: 'ignore' },
    );
    reapAtExit(child, 'SIGKILL');
    this.#children.push(child);
    return child;
  }

  async #log(): Promise<string> {
    const text = await readFile(join(this.#folder, 'log', 'client.rgw.a.log'), 'utf8').catch(() => '');
    return text.slice(-3000);
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** One copy of everything, in memory; the monitor is told to be quick, since nobody shares it. */
function cephConfiguration(
  folder: string,
  fsid: string,
  [monitor, monitorOld]: readonly [number, number],
  port: number,
): string {
  return `[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${monitor},v1:127.0.0.1:${monitorOld}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = ${folder}/keyring
mon data = ${folder}/mon
osd data = ${folder}/osd
run dir = ${folder}/run
admin socket = ${folder}/run/$cluster-$name.$pid.asok
pid file = ${folder}/run/$name.pid
crash dir = ${folder}/run
log file = ${folder}/log/$name.log
mon cluster log file = ${folder}/log/cluster.log
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.02
paxos min wait = 0.01
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:${port}
rgw enable usage log = false
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = ${S3_KMS_KEY}=${Buffer.alloc(32, 7).toString('base64')}
`;
}

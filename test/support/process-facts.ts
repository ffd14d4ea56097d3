import { readdirSync, readFileSync } from 'node:fs';

/** Open file descriptors of a process. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Memory that a process has now. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** The most memory that a process ever had. */
export function peakResidentBytes(pid: number): number {
  return statusBytes(pid, 'VmHWM');
}

function statusBytes(pid: number, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (match === null) throw new Error(`no ${name} for process ${pid}`);
  return Number(match[1]) * 1024;
}

/** User and system time of all threads of a process, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Repeats a look until it is as wanted, or throws what it last saw. */
export async function eventually(
  what: string,
  look: () => Promise<string | null> | string | null,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  // Most of what is waited for comes at once, and what does not takes its time.
  for (let pauseMs = 5; ; pauseMs = Math.min(2 * pauseMs, 50)) {
    const problem = await look();
    if (problem === null) return;
    if (performance.now() > deadline) throw new Error(`${what}: after ${deadlineMs} ms still ${problem}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

// A service of a test's own: the built program on a free port, with its own data directory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const program = resolve(process.env.BIJOU ?? join(import.meta.dirname, '../../../bin/bijou'));

/** run runs the program to its end and returns what it printed. It throws where the exit status is not 0. */
export async function run(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (b) => (out += b));
  child.stderr.on('data', (b) => (err += b));
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with status ${status}:\n${err}${out}`);
  return out;
}

export class Service {
  #child;
  #log = '';
  #listen = '127.0.0.1:0';
  #tellFirst;

  /** first is the address at which the first administrator makes their user. */
  first = new Promise((tell) => (this.#tellFirst = tell));

  constructor(folder, settings) {
    this.folder = folder;
    this.settings = settings;
  }

  /** open makes a data directory, a copy of library where one is given, and starts a service on it. */
  static async open({ library, settings = {} } = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'bijou-browser-'));
    if (library) await cp(library, folder, { recursive: true });
    const service = new Service(folder, settings);
    await service.start();
    return service;
  }

  /** start starts the program, on the same port as before, and waits until it says that it is ready. */
  async start() {
    const sets = Object.entries(this.settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const child = spawn(program, ['up', '--data-dir', this.folder, '--listen', this.#listen, ...sets], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stderr.on('data', (b) => (this.#log = (this.#log + b).slice(-20_000)));
    this.address = await new Promise((found, failed) => {
      child.once('error', failed);
      child.once('exit', (status) => failed(new Error(`the service ended with status ${status}:\n${this.#log}`)));
      createInterface(child.stdout).on('line', (line) => {
        const address = /http:\/\/\S+/.exec(line)?.[0];
        if (address?.includes('/operate/')) this.#tellFirst(address);
        else if (address) found(address.replace(/\/$/, ''));
      });
    });
    this.#listen = new URL(this.address).host;
    this.#child = child;
  }

  /** end stops the program as Ctrl-C does, or kills it, and waits until it is gone. */
  async end(signal = 'SIGTERM') {
    const child = this.#child;
    if (!child) return;
    this.#child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async restart(signal) {
    await this.end(signal);
    await this.start();
  }

  /** command runs one of the operator's commands on this service. */
  command(...args) {
    return run(program, [...args, '--data-dir', this.folder]);
  }

  /** close stops the program and removes its data. */
  async close() {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}

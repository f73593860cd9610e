// Appliances as processes of their own, and a film that outlasts every test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { program, run, Service } from './service.js';

/** freePort returns a port that nothing listens at, at the host. */
async function freePort(host) {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** An appliance that has joined a service. */
export class Box {
  static async join(service, host) {
    const box = new Box();
    box.host = `${host}:${await freePort(host)}`;
    box.folder = await mkdtemp(join(tmpdir(), 'bijou-box-'));
    const token = join(box.folder, 'token');
    await writeFile(token, await service.command('token', 'create'), { mode: 0o600 });
    const data = join(box.folder, 'data');
    box.data = data;
    const args = ['--listen', box.host, '--set', `appliance.address=http://${box.host}`, '--token-file', token, '--log-level', 'error'];
    box.child = spawn(program, ['run', 'appliance', '--data-dir', data, '--server', service.address, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((ready, failed) => {
      box.child.once('exit', (status) => failed(new Error(`the appliance ended with status ${status}`)));
      createInterface(box.child.stdout).on('line', (line) => line.includes('ready') && ready());
    });
    return box;
  }

  /** spoil overwrites every file of the box by others of the same length, in place. */
  async spoil() {
    for (const entry of await readdir(join(this.data, 'files'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = await open(join(entry.parentPath ?? entry.path, entry.name), 'r+');
      const { size } = await file.stat();
      await file.write(Buffer.alloc(size, 'spoilt '), 0, size, 0);
      await file.close();
    }
  }

  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGCONT');
      this.child.kill('SIGKILL');
      await gone;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** makeLongFilm returns a data directory with a film of more than ten minutes, made of a clip over and over. */
export async function makeLongFilm() {
  const folder = await mkdtemp(join(tmpdir(), 'bijou-long-'));
  const clip = resolve(import.meta.dirname, '../../media/bbb_480p24_30s_av.mp4');
  const film = join(folder, 'long.mp4');
  // Made small once, and then repeated without being encoded again: that takes seconds.
  const once = join(folder, 'once.mp4');
  await run('ffmpeg', [
    '-nostdin', '-v', 'error', '-i', clip, '-vf', 'scale=256:144,fps=12', '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '30', '-c:a', 'aac', '-b:a', '48k', once,
  ]);
  await run('ffmpeg', ['-nostdin', '-v', 'error', '-stream_loop', '20', '-i', once, '-t', '610', '-c', 'copy', film]);
  const service = await Service.open({ settings: { bundled_films: 'false', appliances: '0' } });
  await service.command('title', 'add', film, '--name', 'The Long Film');
  await service.end();
  await rm(film);
  return { data: service.folder, remove: () => Promise.all([service.close(), rm(folder, { recursive: true, force: true })]) };
}

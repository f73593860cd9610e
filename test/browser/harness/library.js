// The film that the tests watch: a running clock of two and a half minutes, long enough that no player has all of it at once,
// and subtitles that say which second it is.

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, Service } from './service.js';

export const seconds = 150;

/** makeLibrary returns a data directory that holds the film alone, the film's identifier, and what removes both. */
export async function makeLibrary() {
  const folder = await mkdtemp(join(tmpdir(), 'bijou-library-'));
  const film = join(folder, 'clock.mp4');
  await run('ffmpeg', [
    '-nostdin', '-v', 'error', '-f', 'lavfi', '-i', `testsrc2=size=426x240:rate=12:duration=${seconds}`, '-f', 'lavfi', '-i',
    `sine=frequency=220:duration=${seconds}`, '-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac', '-shortest', film,
  ]);
  await writeFile(join(folder, 'en.srt'), subtitles((s) => `Second ${s}`));
  await writeFile(join(folder, 'de.srt'), subtitles((s) => `Sekunde ${s}`));
  const service = await Service.open({ settings: { bundled_films: 'false' } });
  const data = join(folder, 'data');
  try {
    await service.command(
      'title', 'add', film, '--name', 'The Clock', '--year', '2024', '--language', 'en', '--synopsis', 'Time passes.', '--credit', 'Made by this test.',
      '--genre', 'Drama', '--rating', 'FSK 6', '--age', '6', '--subtitles', `en=${join(folder, 'en.srt')}`, '--subtitles', `de=${join(folder, 'de.srt')}`,
    );
    await service.end();
    await cp(service.folder, data, { recursive: true });
  } finally {
    await service.close();
  }
  return { data, remove: () => rm(folder, { recursive: true, force: true }) };
}

function subtitles(words) {
  const stamp = (s) => new Date(s * 1000).toISOString().slice(11, 23).replace('.', ',');
  return Array.from({ length: seconds }, (_, s) => `${s + 1}\n${stamp(s)} --> ${stamp(s + 1)}\n${words(s)}\n`).join('\n');
}

import { readFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

// notices puts the licences of what is bundled beside it, as they ask.
function notices(...packages: string[]): Plugin {
  return {
    name: 'notices',
    apply: 'build',
    generateBundle() {
      const text = packages.map((name) => {
        const folder = new URL(`node_modules/${name}/`, import.meta.url);
        const { version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string };
        const file = ['LICENSE', 'LICENSE.md', 'license'].map((f) => new URL(f, folder)).find(readable);
        if (!file) throw new Error(`package ${name} has no licence file: name the file here`);
        return `${name} ${version}\n\n${readFileSync(file, 'utf8').trim()}\n`;
      });
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: text.join('\n\n') });
    },
  };
}

function readable(file: URL): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

export default defineConfig({
  plugins: [
    svelte({
      configFile: false,
      compilerOptions: {
        runes: true,
        // By what is in the style alone, so that a build does not depend on the folder that it is made in.
        cssHash: ({ css, hash }) => `b-${hash(css)}`,
      },
    }),
    notices('svelte', 'openapi-fetch', 'shaka-player'),
  ],
  build: {
    target: ['chrome111', 'firefox114', 'safari16.4'],
    assetsInlineLimit: 0, // the content security policy allows nothing inline
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600, // kB: the player's library, which the watch page alone loads
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8080', '/g': 'http://127.0.0.1:8080' } },
});

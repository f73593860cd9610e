// Which appliance a segment came from: the manifest names each appliance beside its address (@serviceLocation of BaseURL, ISO/IEC 23009-1).

const baseURL = /<BaseURL\b([^>]*)>([^<]*)<\/BaseURL>/g;
const location = /\bserviceLocation="([^"]*)"/;

export class Boxes {
  private readonly names = new Map<string, string>();

  /** learn reads a manifest that came from the address. */
  learn(manifest: string, address: string): void {
    for (const [, attributes, base] of manifest.matchAll(baseURL)) {
      const name = location.exec(attributes!)?.[1];
      const origin = originOf(base!.trim(), address);
      if (name?.startsWith('apl_') && origin) this.names.set(origin, name);
    }
  }

  /** of returns the appliance at the address; undefined for one that no manifest named. */
  of(address: string): string | undefined {
    return this.names.get(originOf(address) ?? '');
  }
}

function originOf(address: string, base?: string): string | undefined {
  try {
    return new URL(address, base).origin;
  } catch {
    return undefined;
  }
}

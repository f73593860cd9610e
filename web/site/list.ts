// What the profile wants to see later.

import { answer, client, Refused, type Title } from './api/client';

/** listed returns the titles of the list, latest first. It throws Refused or Away. */
export async function listed(): Promise<string[]> {
  const { entries } = await answer(client.GET('/api/v1/list', { params: { query: { limit: 500 } } }));
  return entries.map((e) => e.title);
}

/** list puts a title on the list, or takes it off. It throws Refused or Away. */
export async function list(title: string, on: boolean): Promise<void> {
  const params = { path: { title } };
  await answer(on ? client.PUT('/api/v1/list/{title}', { params }) : client.DELETE('/api/v1/list/{title}', { params }));
}

/** titlesOf returns the titles, in this order, from those that are there already or else from the service. One that is gone is left out. */
export async function titlesOf(ids: string[], there: Title[]): Promise<Title[]> {
  const known = new Map(there.map((t) => [t.id, t]));
  const all = await Promise.all(
    ids.map(async (id) => {
      try {
        return known.get(id) ?? (await answer(client.GET('/api/v1/titles/{id}', { params: { path: { id } } })));
      } catch (e) {
        if (e instanceof Refused) return undefined;
        throw e;
      }
    }),
  );
  return all.filter((t) => t !== undefined);
}

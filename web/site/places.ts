// Where the viewer is in each title: a member's places from the service, a guest's from this browser.

import { answer, client, type Me } from './api/client';
import { settle } from './player/outbox';
import { guestPlaces } from './positions';
import { latestPlace } from './session.svelte';
import { storage } from './storage';

export interface Spot {
  position_ms: number;
  runtime_ms: number;
  /** When it was reached, in milliseconds since 1970. */
  at: number;
}

/** placesByTitle returns the viewer's places. It throws Refused or Away. */
export async function placesByTitle(me: Me): Promise<Map<string, Spot>> {
  const spots = new Map<string, Spot>();
  if (me.guest) {
    for (const p of guestPlaces(storage)) spots.set(p.title, p);
    return spots;
  }
  await settle(me.profile?.id ?? '');
  const { positions } = await answer(client.GET('/api/v1/positions', { params: { query: { limit: 200 } } }));
  for (const p of positions) {
    const here = latestPlace(p.title);
    const there = { position_ms: p.position_ms, runtime_ms: p.runtime_ms, at: Date.parse(p.at) };
    spots.set(p.title, here && here.at > there.at ? here : there);
  }
  return spots;
}

// Where reports go out: the queues of this page's viewings, and what an earlier visit could not report.

import { answer, Away, client, type Fact } from '../api/client';
import { storage } from '../storage';
import { batches, FactQueue, type Delivery } from './facts';
import { keep, take } from './spool';

const live = new Map<string, FactQueue>();

const path = '/api/v1/facts';

/** deliver reports facts once. */
async function deliver(facts: Fact[], dropped = 0): Promise<Delivery> {
  try {
    await answer(client.POST('/api/v1/facts', { body: { facts, ...(dropped > 0 ? { dropped } : {}) }, keepalive: true }));
    return 'accepted';
  } catch (e) {
    return e instanceof Away ? 'away' : 'refused';
  }
}

/** openQueue returns the queue of a viewing that profile (empty for a guest) watches. */
export function openQueue(session: string, title: string, profile: string): FactQueue {
  const queue: FactQueue = new FactQueue({
    session,
    title,
    deliver: async (facts, dropped) => {
      const delivery = await deliver(facts, dropped);
      if (delivery === 'away') keep(storage, session, profile, queue.unsent(), Date.now());
      else if (queue.away) keep(storage, session, profile, [], 0);
      return delivery;
    },
  });
  live.set(session, queue);
  return queue;
}

/** leave sends the rest of a viewing that has ended. The queue goes on trying while the page is open. */
export async function leave(session: string): Promise<void> {
  const queue = live.get(session);
  await queue?.flush();
  if (queue?.unsent().length === 0) live.delete(session);
}

/** hand gives what waits to the browser, which sends it even though the page closes. */
export function hand(session: string, profile: string): void {
  const queue = live.get(session);
  if (!queue) return;
  const facts = queue.unsent();
  let taken = true;
  for (const batch of batches(facts)) taken = navigator.sendBeacon(path, JSON.stringify({ facts: batch })) && taken;
  if (!taken || queue.away) keep(storage, session, profile, facts, Date.now());
}

/** settle has everything reported that waits, so that the service knows where titles were left. It throws nothing: what fails waits on. */
export async function settle(profile: string): Promise<void> {
  await Promise.all([...live.keys()].map(leave));
  for (const facts of take(storage, profile, Date.now(), new Set(live.keys()))) {
    for (const batch of batches(facts)) {
      if ((await deliver(batch)) === 'away') {
        keep(storage, facts[0]!.session, profile, facts, Date.now());
        return;
      }
    }
  }
}

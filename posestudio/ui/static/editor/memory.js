/* What a reload needs: the address says who and how, the session store has the queue in hand and the history. How the
   heatmap is shown stays for good. */

const HEAT = "posestudio/heat";

/** Keep the address at who is shown. */
export function address(page) {
  const at = new URL(location.href);
  const { run, order, split } = page.queue.options;
  for (const [key, value] of Object.entries({ instance: page.person?.id, run, order, split })) {
    value ? at.searchParams.set(key, value) : at.searchParams.delete(key);
  }
  window.history.replaceState(null, "", at);
}

export function store({ keep, queue, history }) {
  if (!keep) return;
  for (const [key, value] of [[keep.queue, queue], [keep.history, history]]) {
    try {
      sessionStorage.setItem(key, JSON.stringify(value));
    } catch {
      sessionStorage.removeItem(key); // too large: labels are safe in the outbox and on the server all the same
    }
  }
}

/** What was stored under a key, or null. */
export function kept(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

/** Keep which heatmap is shown, and how strong. */
export function keepHeat(show, alpha) {
  try {
    localStorage.setItem(HEAT, JSON.stringify({ show, alpha }));
  } catch {
    // a browser that keeps nothing shows it as at first
  }
}

/** {show, alpha} as they were kept; empty when nothing was. */
export function keptHeat() {
  try {
    return JSON.parse(localStorage.getItem(HEAT)) ?? {};
  } catch {
    return {};
  }
}

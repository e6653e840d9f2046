// Whole states come by HTTP, what changes since by the socket: kept in their order here.

export class Letters {
  constructor(open) {
    this.open = open; // told => it is drawn
    this.ticket = "";
    this.announced = false;
    this.later = [];
  }

  // The first state was asked for before this page's modules were there.
  first(asked) {
    if (asked) this.await(asked.ticket, asked.told);
  }

  // The server has a state for this page.
  announce({ ticket, path }) {
    this.announced = true;
    if (ticket === this.ticket) return;
    this.await(ticket, fetch(`${path}/${ticket}`).then((answer) => answer.json()));
  }

  async await(ticket, asked) {
    this.ticket = ticket;
    this.later = [];
    const told = await asked.catch(() => null);
    if (ticket !== this.ticket || !told) return;
    const later = this.later;
    this.later = null;
    this.open(told, later);
  }

  // Whether a change may be drawn now. Those told before the state are in it; those that come
  // before it was read wait for it.
  takes(change) {
    if (!this.announced) return false;
    this.later?.push(change);
    return !this.later;
  }
}

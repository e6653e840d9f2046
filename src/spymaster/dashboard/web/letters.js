// Whole states come by HTTP, what changes since by the socket: kept in their order here.

const AGAIN_MS = 1000;

export class Letters {
  constructor(open, ask) {
    this.open = open; // told => it is drawn
    this.ask = ask; // asks the server for a state anew
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
    if (ticket !== this.ticket) return;
    if (!told) {
      // The way to the server failed, and a letter is there once: only a new one can be read.
      setTimeout(() => ticket === this.ticket && this.ask(), AGAIN_MS);
      return;
    }
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

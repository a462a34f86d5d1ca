// A prebuilt JupyterLab 4 extension, written by hand: a module federation container with one plugin, no build step.
//
// The guest's agent keeps lease.json beside the server's static files: {} while nothing is about to end, else
// {"ends_at": instant, "why": "idle" | "age", "warn": boolean, "hub_page": path on the hub}.
(() => {
  'use strict';

  const NAME = 'js2-lease';
  const KEEP = `${NAME}:keep`;
  const POLL_MS = 30_000;
  // Somebody who closed the notice is told once more, when it is about to be too late.
  const LAST_CALL_MINUTES = 5;
  const REASONS = {
    idle: 'it looks idle',
    age: 'it has reached the longest life it may have',
  };

  function sentence(minutes, why) {
    const when = minutes < 1 ? 'in less than a minute' : minutes === 1 ? 'in 1 minute' : `in ${minutes} minutes`;
    return `This server stops ${when} because ${REASONS[why]}.`;
  }

  // A link that leads anywhere but to our own hub is no link of ours.
  function hubPage(path) {
    const page = new URL(path, window.location.origin);
    return page.origin === window.location.origin ? page.href : null;
  }

  // The instance's clock decides, not the browser's: they may differ by more than the warning is long.
  function minutesLeft(lease, response) {
    const now = Date.parse(response.headers.get('Date')) || Date.now();
    return Math.floor((Date.parse(lease.ends_at) - now) / 60_000);
  }

  class LeaseNotice {
    constructor(commands) {
      this.commands = commands;
      this.id = null;
      this.about = null;
      this.lastCallMade = false;
    }

    async show(lease, minutes) {
      const message = sentence(minutes, lease.why);
      const lastCall = minutes <= LAST_CALL_MINUTES && !this.lastCallMade;
      if (this.about === lease.ends_at) {
        const still = await this.commands.execute('apputils:update-notification', { id: this.id, message });
        if (still || !lastCall) {
          return;
        }
      } else {
        await this.hide();
      }
      this.about = lease.ends_at;
      this.lastCallMade = minutes <= LAST_CALL_MINUTES;
      this.id = await this.commands.execute('apputils:notify', {
        message,
        type: 'warning',
        options: {
          autoClose: false,
          actions: [{ label: 'Keep it running', commandId: KEEP, args: { page: lease.hub_page } }],
        },
      });
    }

    async hide() {
      if (this.id !== null) {
        await this.commands.execute('apputils:dismiss-notification', { id: this.id });
      }
      this.id = null;
      this.about = null;
    }
  }

  async function look(url, notice) {
    // A page nobody looks at asks nothing: the proxy would take its questions for activity.
    if (document.hidden) {
      return;
    }
    let response;
    let lease;
    try {
      response = await fetch(url, { cache: 'no-store' });
      lease = response.ok ? await response.json() : {};
    } catch {
      return; // the network or the server is away; JupyterLab itself says so
    }
    if (lease.warn === true && lease.why in REASONS && !Number.isNaN(Date.parse(lease.ends_at))) {
      await notice.show(lease, minutesLeft(lease, response));
    } else {
      await notice.hide();
    }
  }

  const plugin = {
    id: `${NAME}:plugin`,
    description: 'Warns before this server is stopped and leads to where it can be kept.',
    autoStart: true,
    activate: app => {
      app.commands.addCommand(KEEP, {
        label: 'Keep This Server Running',
        describedBy: { args: { type: 'object', properties: { page: { type: 'string' } } } },
        execute: args => {
          const page = hubPage(String(args.page));
          if (page !== null) {
            window.open(page, '_blank', 'noopener');
          }
        },
      });
      const url = new URL('static/lease.json', app.serviceManager.serverSettings.baseUrl).href;
      const notice = new LeaseNotice(app.commands);
      let looking = Promise.resolve();
      const next = () => {
        looking = looking.then(() => look(url, notice));
      };
      app.started.then(() => {
        next();
        window.setInterval(next, POLL_MS);
        document.addEventListener('visibilitychange', next);
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: () => {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();

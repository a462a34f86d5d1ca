// A prebuilt JupyterLab 4 extension, written by hand: a module federation container with two plugins, no build step.
//
// The guest's agent keeps three files beside the server's static ones. lease.json: {} while nothing is about to end, else
// {"ends_at": instant, "why": "idle" | "age", "warn": boolean, "hub_page": path on the hub, "then": "delete" | "shelve",
// "home": whether it stays, "su_per_hour": number or null}. gpus.json: {"gpus": [{"name", "utilisation_percent",
// "memory_used_mb", "memory_total_mb"}]}. home.json: {"state", "used_gb", "total_gb", "notices": [sentence]}.
(() => {
  'use strict';

  const NAME = 'js2-lease';
  const KEEP = `${NAME}:keep`;
  const POLL_MS = 30_000;
  // Somebody who closed the notice is told once more, when it is about to be too late.
  const LAST_CALL_MINUTES = 5;
  const REASONS = {
    idle: 'it looks idle',
    age: 'it has run as long as it may',
  };

  const NEARLY_FULL = 0.9;
  const MOST_NOTICES = 5;
  const LONGEST_NOTICE = 300;

  function sentence(minutes, lease) {
    const when = minutes < 1 ? 'in less than a minute' : minutes === 1 ? 'in 1 minute' : `in ${minutes} minutes`;
    return [`This server stops ${when} because ${REASONS[lease.why]}.`, afterwards(lease), price(lease)].filter(Boolean).join(' ');
  }

  // What becomes of it, and of the files: the hub says so, unless it is an older one. JupyterLab shows 140 characters.
  function afterwards({ then, home }) {
    if (then === 'shelve') {
      return 'It is then put on the shelf as it is.';
    }
    if (then === 'delete') {
      return home ? 'It is then deleted; your home stays.' : 'It is then deleted with all your files.';
    }
    return '';
  }

  function price({ then, su_per_hour: su }) {
    return then && Number.isFinite(su) ? `It costs ${su} SU an hour.` : '';
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
      const message = sentence(minutes, lease);
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

  // What the agent has put there; nothing while the network or the server is away, of which JupyterLab itself tells.
  async function read(app, name) {
    try {
      const url = new URL(`static/${name}.json`, app.serviceManager.serverSettings.baseUrl).href;
      const response = await fetch(url, { cache: 'no-store' });
      return { response, told: response.ok ? await response.json() : {} };
    } catch {
      return null;
    }
  }

  // A page nobody looks at asks nothing: the proxy would take its questions for activity.
  function keepLooking(app, look) {
    let looking = Promise.resolve();
    const next = () => {
      looking = looking.then(() => (document.hidden ? undefined : look())).catch(() => undefined);
    };
    app.started.then(() => {
      next();
      window.setInterval(next, POLL_MS);
      document.addEventListener('visibilitychange', next);
    });
  }

  async function lookAtLease(app, notice) {
    const found = await read(app, 'lease');
    if (found === null) {
      return;
    }
    const lease = found.told;
    if (lease.warn === true && lease.why in REASONS && !Number.isNaN(Date.parse(lease.ends_at))) {
      await notice.show(lease, minutesLeft(lease, found.response));
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
      const notice = new LeaseNotice(app.commands);
      keepLooking(app, () => lookAtLease(app, notice));
    },
  };

  function gigabytes(megabytes) {
    return (megabytes / 1024).toFixed(1);
  }

  // "GPU 62 % · 13.9 of 20.0 GB", and the same for each of several.
  function gpuWords(gpus) {
    const one = ({ utilisation_percent: busy, memory_used_mb: used, memory_total_mb: total }, number) => {
      const memory = total > 0 ? ` · ${gigabytes(used)} of ${gigabytes(total)} GB` : '';
      return `GPU${gpus.length > 1 ? ` ${number + 1}` : ''} ${Math.round(busy)} %${memory}`;
    };
    return gpus.map(one).join('  ');
  }

  function homeWords({ used_gb: used, total_gb: total }) {
    return total > 0 ? `Home ${used.toFixed(1)} of ${total.toFixed(1)} GB` : '';
  }

  // Tells each thing once, however often the file says it.
  class HomeNotices {
    constructor(commands) {
      this.commands = commands;
      this.told = new Set();
    }

    async show({ notices, used_gb: used, total_gb: total }) {
      const said = Array.isArray(notices) ? notices.filter(each => typeof each === 'string').slice(0, MOST_NOTICES) : [];
      if (total > 0 && used / total >= NEARLY_FULL) {
        said.push('Your home is nearly full. Delete what you do not need, or ask the people who run this hub for more.');
      }
      for (const message of said.map(each => each.slice(0, LONGEST_NOTICE))) {
        if (!this.told.has(message)) {
          this.told.add(message);
          await this.commands.execute('apputils:notify', { message, type: 'warning', options: { autoClose: false } });
        }
      }
    }
  }

  async function lookAtFigures(app, item, notices) {
    const [gpus, home] = await Promise.all([read(app, 'gpus'), read(app, 'home')]);
    const cards = Array.isArray(gpus?.told.gpus) ? gpus.told.gpus.slice(0, 16) : [];
    const kept = Number.isFinite(home?.told.used_gb) && Number.isFinite(home?.told.total_gb) ? home.told : null;
    if (kept !== null) {
      await notices.show(kept);
    }
    if (item !== null) {
      item.node.textContent = [gpuWords(cards), kept === null ? '' : homeWords(kept)].filter(Boolean).join('  ');
      item.node.title = cards.map(({ name }) => String(name)).join(', ');
      item.setHidden(item.node.textContent === '');
    }
  }

  // JupyterLab's own modules are shared with its extensions. Without them there is no status, and all else goes on.
  async function shared(scope, name) {
    const versions = Object.values(scope?.[name] ?? {});
    const core = versions.find(({ from }) => String(from).startsWith('@jupyterlab/application')) ?? versions[0];
    return core ? (await core.get())() : null;
  }

  async function figures(scope) {
    const [statusbar, widgets] = await Promise.all([shared(scope, '@jupyterlab/statusbar'), shared(scope, '@lumino/widgets')]).catch(() => []);
    return {
      id: `${NAME}:figures`,
      description: 'Shows how busy the GPU is and how full the home is.',
      autoStart: true,
      optional: statusbar ? [statusbar.IStatusBar] : [],
      activate: (app, statusBar) => {
        let item = null;
        if (statusBar && widgets) {
          item = new widgets.Widget();
          item.addClass('js2-figures');
          item.addClass('jp-StatusBar-TextItem');
          item.hide();
          statusBar.registerStatusItem(`${NAME}:figures`, { item, align: 'right', rank: 900 });
        }
        const notices = new HomeNotices(app.commands);
        keepLooking(app, () => lookAtFigures(app, item, notices));
      },
    };
  }

  let scope = null;
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: given => {
      scope = given;
    },
    get: async () => {
      const plugins = [plugin, await figures(scope)];
      return () => ({ __esModule: true, default: plugins });
    },
  };
})();

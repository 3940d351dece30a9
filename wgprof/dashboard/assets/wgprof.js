"use strict";
// What happens in the browser alone: the address and the controls follow each other.
window.dash_clientside = window.dash_clientside || {};
(function () {
  const none = window.dash_clientside.no_update;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  function schemeOf(search) {
    const theme = new URLSearchParams(search).get("theme");
    if (theme === "light" || theme === "dark") return theme;
    return systemDark.matches ? "dark" : "light";
  }

  function written(parameters) {
    const text = parameters.toString().replaceAll("%2C", ",");
    return text ? "?" + text : "";
  }

  function put(parameters, key, value) {
    if (value) parameters.set(key, value); else parameters.delete(key);
  }

  function seconds(value) {
    return (Math.round(value * 10) / 10).toFixed(1) + " s";
  }

  window.dash_clientside.wgprof = {
    // The address says what is shown, and in which colours.
    where: function (search) {
      const scheme = schemeOf(search);
      document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
      return [{ search: search || "", scheme: scheme }, scheme];
    },

    // The controls show what was drawn, unless the address has moved on since.
    controls: function (facts) {
      if (!facts || facts.search !== (window.location.search || "")) return Array(14).fill(none);
      const whole = facts.range[0] === facts.bounds[0] && facts.range[1] === facts.bounds[1];
      const text = facts.live ? "the last " + seconds(facts.bounds[1] - facts.bounds[0])
        : whole ? "all " + seconds(facts.bounds[1] - facts.bounds[0])
        : seconds(facts.range[0]) + " to " + seconds(facts.range[1]);
      document.title = facts.title;
      return [
        facts.files, facts.file, facts.bounds[0], facts.bounds[1], facts.range, facts.live || facts.whole,
        text, facts.direction, facts.peers_known, facts.peers, facts.theme, facts.live ? "inline-flex" : "none",
        facts.created, facts.title,
      ];
    },

    // A changed control changes the address.
    address: function (file, range, direction, peers, theme, against, reset, facts) {
      const who = (window.dash_clientside.callback_context.triggered[0] || {}).prop_id || "";
      if (!facts || !who) return none;
      const now = window.location.search || "";
      const asked = new URLSearchParams(now);
      if (who === "file.value" && file && file !== facts.file) {
        ["from", "to", "peers", "against"].forEach(function (key) { asked.delete(key); });
        asked.set("file", file);
      } else if (who === "range.value" && range && !facts.live) {
        put(asked, "from", range[0] > facts.bounds[0] + 0.05 ? String(Math.round(range[0] * 10) / 10) : "");
        put(asked, "to", range[1] < facts.bounds[1] - 0.05 ? String(Math.round(range[1] * 10) / 10) : "");
      } else if (who === "direction.value") {
        put(asked, "dir", direction);
      } else if (who === "peers.value") {
        put(asked, "peers", (peers || []).map(Number).sort(function (a, b) { return a - b; }).join(","));
      } else if (who === "theme.value") {
        put(asked, "theme", theme);
      } else if (who.includes("against")) {
        const other = (against || [])[0];
        if (!other) return none;
        put(asked, "against", other);
      } else if (who === "reset.n_clicks" && reset) {
        ["from", "to", "dir", "peers"].forEach(function (key) { asked.delete(key); });
      } else {
        return none;
      }
      const next = written(asked);
      return next === now ? none : next;
    },

    // Ask for what is new, but never before the last answer was drawn.
    pulse: function (beat, asked, facts) {
      return facts && facts.live && facts.asked === asked ? asked + 1 : none;
    },
  };

  systemDark.addEventListener("change", function () {
    // Auto: the page follows the system.
    window.dispatchEvent(new PopStateEvent("popstate"));
  });

  // Tables: figures are sorted by what they mean, not by their first digit.
  const FACTORS = {
    ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, "%": 0.01, "Gbit/s": 1e3, GB: 1e9, MB: 1e6, kB: 1e3,
  };
  function figure(text) {
    const found = /^[^\d+-]*([+-]?[\d,]*\.?\d+)\s*(\S*)/.exec(text || "");
    return found ? parseFloat(found[1].replaceAll(",", "")) * (FACTORS[found[2]] || 1) : -Infinity;
  }
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  functions.byFigure = function (a, b) {
    const one = figure(a), other = figure(b);
    return one === other ? 0 : one < other ? -1 : 1;
  };
  functions.wgprofTheme = function (agGrid) {
    return agGrid.themeQuartz.withParams({
      backgroundColor: "var(--ground)", foregroundColor: "var(--ink)", textColor: "var(--ink)",
      headerTextColor: "var(--soft)", headerBackgroundColor: "var(--panel)", borderColor: "var(--line)",
      chromeBackgroundColor: "var(--panel)", oddRowBackgroundColor: "var(--ground)", accentColor: "#1c7ed6",
      rowHoverColor: "var(--panel)", browserColorScheme: "inherit", fontFamily: "inherit", fontSize: 13.5,
      headerFontWeight: 600, wrapperBorderRadius: 6, columnBorder: false, spacing: 6,
    });
  };
})();

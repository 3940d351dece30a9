"use strict";
// Draws the figures that stand as JSON in the page, in the colours of the page.
(function () {
  var dark = window.matchMedia("screen and (prefers-color-scheme: dark)");
  var plots = [];

  function colours() {
    var style = getComputedStyle(document.documentElement);
    return { ink: style.getPropertyValue("--ink").trim(), grid: style.getPropertyValue("--plot-grid").trim() };
  }

  function paint(layout) {
    var colour = colours();
    var change = { "font.color": colour.ink };
    Object.keys(layout).forEach(function (key) {
      if (/^[xy]axis\d*$/.test(key)) {
        change[key + ".gridcolor"] = colour.grid;
        change[key + ".linecolor"] = colour.grid;
        change[key + ".tickcolor"] = colour.grid;
      }
    });
    return change;
  }

  function repaint() {
    plots.forEach(function (plot) { Plotly.relayout(plot, paint(plot.layout)); });
  }

  document.querySelectorAll("script[id^='figure-']").forEach(function (source) {
    var figure = JSON.parse(source.textContent);
    var plot = document.getElementById(source.id.replace("figure-", "plot-"));
    figure.layout.font.color = colours().ink;
    var isDiagram = !figure.layout.xaxis || figure.layout.xaxis.visible === false || figure.layout.barmode;
    figure.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: "#8a939d", activecolor: "#56b4e9" };
    // Only these buttons: plotly.js also has one that would send the data to its makers' server.
    var config = {
      responsive: true,
      displaylogo: false,
      plotlyServerURL: "",
      displayModeBar: isDiagram ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    Plotly.newPlot(plot, figure.data, figure.layout, config).then(repaintOne);
    plots.push(plot);
  });

  function repaintOne(plot) { Plotly.relayout(plot, paint(plot.layout)); }

  dark.addEventListener("change", repaint);
  window.addEventListener("beforeprint", function () {
    repaint();
    plots.forEach(function (plot) { Plotly.Plots.resize(plot); });
  });
  window.addEventListener("afterprint", repaint);
})();

"use strict";
// Inflates plotly.js and the figures that stand in the page, and draws them in the colours of the page.
(function () {
  var dark = window.matchMedia("screen and (prefers-color-scheme: dark)");
  // A4 landscape within the margins and at the zoom of the style sheet, in CSS pixels.
  var PAPER_PX = 1285;
  var plots = [];
  var pending = [];

  function bytesOf(element) {
    var text = atob(element.textContent.trim());
    var bytes = new Uint8Array(text.length);
    for (var at = 0; at < text.length; at += 1) { bytes[at] = text.charCodeAt(at); }
    return bytes;
  }

  function inflated(element) {
    var stream = new Blob([bytesOf(element)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function colours() {
    var style = getComputedStyle(document.documentElement);
    return { ink: style.getPropertyValue("--ink").trim(), grid: style.getPropertyValue("--plot-grid").trim() };
  }

  function paint(layout, colour) {
    layout.font.color = colour.ink;
    Object.keys(layout).forEach(function (key) {
      if (/^[xy]axis\d*$/.test(key)) {
        layout[key].gridcolor = colour.grid;
        layout[key].linecolor = colour.grid;
        layout[key].tickcolor = colour.grid;
      }
    });
  }

  function repaint(width) {
    var colour = colours();
    plots.forEach(function (plot) {
      paint(plot.layout, colour);
      plot.layout.width = width;
      plot.layout.autosize = !width;
      Plotly.react(plot, plot.data, plot.layout, plot.config);
      if (!width) { Plotly.Plots.resize(plot); }
    });
  }

  function draw(entry) {
    var figure = JSON.parse(entry.text);
    var isDiagram = !figure.layout.xaxis || figure.layout.xaxis.visible === false || figure.layout.barmode;
    figure.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: "#8a939d", activecolor: "#56b4e9" };
    // Only these buttons: plotly.js also has one that would send the data to its makers' server.
    entry.plot.config = {
      responsive: true,
      displaylogo: false,
      plotlyServerURL: "",
      displayModeBar: isDiagram ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    paint(figure.layout, colours());
    Plotly.newPlot(entry.plot, figure.data, figure.layout, entry.plot.config);
    plots.push(entry.plot);
  }

  function drawAll() {
    while (pending.length) { draw(pending.shift()); }
  }

  // One at a time, so that the page can be read and scrolled meanwhile.
  function drawNext() {
    if (!pending.length) {
      document.documentElement.dataset.drawn = "all";
      return;
    }
    draw(pending.shift());
    setTimeout(drawNext, 0);
  }

  async function begin() {
    var script = document.createElement("script");
    script.textContent = await inflated(document.getElementById("plotly"));
    document.head.appendChild(script);
    var sources = Array.from(document.querySelectorAll("script[id^='figure-']"));
    pending = await Promise.all(sources.map(async function (source) {
      return { plot: document.getElementById(source.id.replace("figure-", "plot-")), text: await inflated(source) };
    }));
    drawNext();
  }

  function offerRecording() {
    var source = document.getElementById("recording");
    var button = document.getElementById("save");
    if (!source) { return; }
    button.hidden = false;
    button.addEventListener("click", function () {
      var link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([bytesOf(source)], { type: "application/octet-stream" }));
      link.download = button.dataset.name;
      link.click();
      setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
    });
  }

  offerRecording();
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("cannot-draw").hidden = false;
  } else {
    begin();
  }
  dark.addEventListener("change", function () { repaint(); });
  window.addEventListener("beforeprint", function () {
    drawAll();
    repaint(PAPER_PX);
  });
  window.addEventListener("afterprint", function () { repaint(); });
})();

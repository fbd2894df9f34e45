// Before the first paint: the theme chosen last time, or the system's.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  root.dataset.theme = localStorage.getItem("theme") ?? system;
})();

const state = document.querySelector("#state");
const response = await fetch("/api/status");
state.textContent = response.ok ? "Running." : `Not running: ${response.status}`;

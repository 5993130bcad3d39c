const age = Date.now() - Date.parse(document.querySelector("footer time").dateTime);
document.querySelector(".stale").hidden = age < 600000;

// Says so when a password would travel in the clear.

if (!window.isSecureContext) document.getElementById("js2-insecure").hidden = false;

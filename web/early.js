// Runs as soon as the desk was read, before anything is painted: where it
// stands above the conversation it is closed, and nothing moves later.
if (matchMedia('(max-width: 1040px)').matches) document.getElementById('desk').open = false;

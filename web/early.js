// Runs as soon as the desk was read, before anything is painted: where it
// stands above the conversation it is closed, and nothing moves later.
if (matchMedia('(max-width: 1040px)').matches) document.getElementById('desk').open = false;

// On a slow network an example can be pressed, or a request sent, before what
// listens to that is here: it is kept for it.
{
  const keep = (event) => {
    const example = event.target.closest('#examples button');
    if (event.type === 'submit') event.preventDefault();
    else if (!example) return;
    const asked = example?.textContent ?? document.getElementById('message').value;
    document.documentElement.dataset.asked = asked;
  };
  for (const type of ['click', 'submit']) {
    document.addEventListener(type, keep);
    document.addEventListener('spinlane:ready', () => document.removeEventListener(type, keep));
  }
}

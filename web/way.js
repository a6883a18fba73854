// Every address that is not the API's gets this page, so the page says where
// there is nothing: before it is painted.
if (!['/', '/index.html'].includes(location.pathname)) {
  document.documentElement.dataset.way = 'nowhere';
  document.title = 'Not found – Spinlane';
}

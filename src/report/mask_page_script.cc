#include "report/mask_page.h"

namespace damask::report {

// Everything is in the page as text already; the script only chooses, sorts and switches.
const char kMaskPageScript[] = R"js(
'use strict';
(function () {
  const cells = Array.from(document.querySelectorAll('.cell'));
  const body = document.querySelector('.heads tbody');
  const rows = Array.from(body.rows);
  const headings = Array.from(document.querySelectorAll('.heads thead th'));
  const grid = document.getElementById('grid');
  const perLayer = Number(grid.dataset.heads);
  const lengths = document.getElementById('length');
  const densityColumn = headings.length - 1;
  let chosen = 0;

  function fillFigures(row) {
    const list = document.getElementById('figures');
    list.replaceChildren();
    headings.slice(1).forEach(function (heading, i) {
      const entry = document.createElement('div');
      const term = document.createElement('dt');
      const value = document.createElement('dd');
      term.textContent = heading.textContent.trim();
      value.textContent = row.cells[i + 1].textContent;
      entry.append(term, value);
      list.append(entry);
    });
    document.getElementById('kept').textContent = row.dataset.kept;
  }

  function choose(index) {
    cells[chosen].setAttribute('aria-pressed', 'false');
    cells[chosen].tabIndex = -1;
    rows[chosen].classList.remove('chosen');
    chosen = index;
    cells[chosen].setAttribute('aria-pressed', 'true');
    cells[chosen].tabIndex = 0;
    rows[chosen].classList.add('chosen');
    const layer = Math.floor(index / perLayer);
    const head = index % perLayer;
    document.getElementById('which').textContent = 'Layer ' + layer + ', head ' + head;
    const tile = cells[chosen].firstElementChild.className;
    document.querySelectorAll('.four .pic').forEach(function (picture) { picture.className = tile; });
    fillFigures(rows[chosen]);
  }

  cells.forEach(function (cell, index) {
    cell.tabIndex = -1;
    cell.addEventListener('click', function () { choose(index); });
  });
  grid.addEventListener('keydown', function (event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perLayer, ArrowDown: perLayer,
      Home: -(chosen % perLayer), End: perLayer - 1 - chosen % perLayer };
    if (!Object.hasOwn(steps, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = chosen + steps[event.key];
    if (next < 0 || next >= cells.length) return;
    choose(next);
    cells[next].focus();
  });
  body.addEventListener('click', function (event) {
    const row = event.target.closest('tr');
    if (row !== null) choose(rows.indexOf(row));
  });

  document.querySelectorAll('input[name="view"]').forEach(function (input) {
    input.addEventListener('change', function () { grid.className = 'grid ' + input.value; });
  });

  // Rows without a value stand last, whichever way the others go.
  function sortBy(column, direction) {
    const order = rows.slice().sort(function (a, b) {
      const left = a.cells[column].dataset.v;
      const right = b.cells[column].dataset.v;
      if (left === '' || right === '') return (left === '' ? 1 : 0) - (right === '' ? 1 : 0);
      return direction * (Number(left) - Number(right));
    });
    body.append.apply(body, order);
    headings.forEach(function (heading, i) {
      heading.setAttribute('aria-sort', i !== column ? 'none' : direction > 0 ? 'ascending' : 'descending');
    });
  }
  headings.forEach(function (heading, column) {
    heading.firstElementChild.addEventListener('click', function () {
      sortBy(column, heading.getAttribute('aria-sort') === 'ascending' ? -1 : 1);
    });
  });

  function percent(share) { return (100 * share).toFixed(1) + '%'; }
  function showDensities() {
    const at = lengths.selectedIndex;
    rows.forEach(function (row) {
      const cell = row.cells[densityColumn];
      const share = cell.dataset.all.split(' ')[at];
      cell.dataset.v = share;
      cell.textContent = (row.dataset.treatment === 'content' ? '\u2264 ' : '') + percent(Number(share));
    });
    const bound = rows.some(function (row) { return row.dataset.treatment === 'content'; });
    document.getElementById('density').textContent = (bound ? '\u2264 ' : '') + percent(Number(lengths.dataset.all.split(' ')[at]));
    headings.forEach(function (heading, i) {
      if (i === densityColumn) heading.setAttribute('aria-sort', 'none');
    });
    fillFigures(rows[chosen]);
  }
  lengths.addEventListener('change', showDensities);

  choose(0);
})();
)js";

}  // namespace damask::report

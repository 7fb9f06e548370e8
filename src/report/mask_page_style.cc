#include "report/mask_page.h"

namespace damask::report {

// The pictures have colours of their own (mask_pictures.cc) that are the same on a light and a dark page. The three treatments
// are blue, orange and purple, which stay apart for colour-blind eyes, and differ in their border as well.
const char kMaskPageStyle[] = R"css(
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c1e21; --soft: #5b6169; --line: #dcdee2;
  --accent: #1565a8; --static: #56b4e9; --content: #e69f00; --dense: #cc79a7; --hover: #eef3f8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101318; --card: #181c23; --ink: #e7e9ec; --soft: #a2a9b3; --line: #2e343e;
    --accent: #7cc4f5; --hover: #212833;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 1500px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 10px; }
p { margin: 0 0 10px; max-width: 80ch; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.number { font-variant-numeric: tabular-nums; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; min-width: 120px; }
.card b { display: block; font-size: 22px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
.swatch { display: inline-block; width: 13px; height: 13px; margin-right: 6px; border-radius: 2px; vertical-align: -1px; }
.swatch.static { background: var(--static); }
.swatch.content { background: repeating-linear-gradient(135deg, var(--content) 0 3px, #70490f 3px 6px); }
.swatch.dense { background: var(--dense); }
.bar { display: flex; height: 10px; border-radius: 5px; overflow: hidden; max-width: 560px; margin: 4px 0 8px; }
.bar i { display: block; }
.bar .static { background: var(--static); }
.bar .content { background: repeating-linear-gradient(135deg, var(--content) 0 4px, #70490f 4px 8px); }
.bar .dense { background: var(--dense); }
fieldset { border: 0; padding: 0; margin: 0 0 12px; display: flex; flex-wrap: wrap; gap: 6px; }
legend { float: left; padding: 0; margin-right: 10px; color: var(--soft); line-height: 31px; }
fieldset label { border: 1px solid var(--line); background: var(--card); border-radius: 16px; padding: 3px 13px; cursor: pointer; }
fieldset label:has(input:checked) { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
fieldset input { accent-color: var(--accent); margin: 0 6px 0 0; }
.pic { display: block; width: 100%; aspect-ratio: 1; image-rendering: pixelated; background-repeat: no-repeat;
  background-size: calc(100% * var(--columns)) calc(100% * var(--rows)); }
.detail { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px 10px; margin: 10px 0 18px; }
.detail h3 { margin: 0 0 10px; font-size: 17px; }
.detail .parts { display: grid; grid-template-columns: minmax(0, 8fr) minmax(0, 5fr); gap: 30px; }
.four { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 20px; align-content: start; }
.four figure { margin: 0; }
.four figcaption { font-size: 12px; color: var(--soft); margin-top: 5px; line-height: 1.35; }
.four figcaption b { color: var(--ink); }
.four .pic { border-left: 2px solid var(--line); border-bottom: 2px solid var(--line); }
.figures { columns: 2 170px; column-gap: 30px; margin: 0; }
.figures div { display: flex; justify-content: space-between; gap: 10px; break-inside: avoid; border-bottom: 1px solid var(--line);
  padding: 3px 0; }
.figures dt { color: var(--soft); }
.figures dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; }
.kept { font-size: 13px; color: var(--soft); margin: 10px 0 0; max-width: none; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.grid { display: inline-block; }
.row { display: flex; gap: 3px; margin-bottom: 3px; align-items: center; }
.row.top { color: var(--soft); font-size: 11px; }
.row.top span, .layer { flex: none; text-align: center; font-variant-numeric: tabular-nums; }
.row.top span:not(.layer) { width: var(--tile); }
.layer { width: 30px; color: var(--soft); font-size: 12px; position: sticky; left: 0; z-index: 1; background: var(--page); }
.cell { flex: none; width: var(--tile); padding: 1px; border: 2px solid var(--static); border-radius: 4px; background: none; cursor: pointer; }
.cell.content { border: 2px dashed var(--content); }
.cell.dense { border: 3px double var(--dense); padding: 0; }
.cell:hover { background: var(--hover); }
.cell[aria-pressed="true"] { outline: 3px solid var(--ink); outline-offset: 0; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.key { max-width: none; display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 8px 0 0; font-size: 13px; color: var(--soft); }
.terms { display: grid; grid-template-columns: repeat(auto-fill, minmax(410px, 1fr)); gap: 14px 30px; margin: 0; }
.terms div { display: grid; grid-template-columns: 52px 1fr; grid-template-rows: auto 1fr; gap: 0 14px; }
.terms.plain { grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.terms.plain div { display: block; }
.terms svg { width: 52px; height: 52px; grid-row: 1 / 3; }
.terms dt { font-weight: 600; grid-column: 2; }
.terms dd { margin: 0; grid-column: 2; color: var(--soft); font-size: 14px; line-height: 1.45; }
.tall { max-height: 75vh; display: inline-block; max-width: 100%; overflow: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
.heads th, .heads td { padding: 3px 14px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
.heads th:nth-child(2), .heads td:nth-child(2) { text-align: left; }
.heads thead th { position: sticky; top: 0; background: var(--page); padding: 0; }
.heads thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 7px 14px; cursor: pointer;
  width: 100%; text-align: inherit; }
.heads thead button::after { content: " \2195"; color: var(--soft); font-weight: 400; }
.heads thead [aria-sort="ascending"] button::after { content: " \2191"; color: var(--accent); }
.heads thead [aria-sort="descending"] button::after { content: " \2193"; color: var(--accent); }
.heads tbody tr { cursor: pointer; }
.heads tbody tr:hover { background: var(--hover); }
.heads tbody tr.chosen { background: var(--hover); box-shadow: inset 3px 0 0 var(--accent); }
.heads tbody button { font: inherit; font-weight: 600; color: var(--accent); background: none; border: 0; padding: 0; cursor: pointer; }
.made { columns: 2 360px; column-gap: 40px; margin: 0; }
.made div { display: flex; gap: 10px; break-inside: avoid; padding: 2px 0; }
.made dt { color: var(--soft); flex: 0 0 150px; }
.made dd { margin: 0; overflow-wrap: anywhere; }
select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 2px 6px; }
@media (min-height: 820px) and (min-width: 1000px) {
  .detail { position: sticky; top: 0; z-index: 2; box-shadow: 0 6px 14px -10px #000a; }
  .cell, .heads tbody button { scroll-margin-top: 400px; }
}
@media (max-width: 1000px) {
  .detail .parts { grid-template-columns: 1fr; }
}
@media (max-width: 760px) {
  body { padding: 14px; }
  .four { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .terms { grid-template-columns: 1fr; }
}
)css";

}  // namespace damask::report

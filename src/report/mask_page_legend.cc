#include "report/mask_page.h"

namespace damask::report {

// For somebody who has never looked at an attention map.
const char kMaskPageLegend[] = R"html(
<p>When a model reads a text, every word (strictly: every token, a word or a piece of
one) looks back at those before it. A <b>head</b> is one such way of looking; a model has many, in
layers. A picture shows one head: each row is a word that looks (first word on top), each column a word that is looked at (first word on
the left). Nobody looks into the future, so the upper right half is empty. Computing all of it costs a great deal for long texts, and most
of it is close to zero. The mask says what is computed all the same.</p>
<dl class="terms">
<div><svg viewBox="0 0 26 26" aria-hidden="true"><path d="M0 0L26 26H0z" fill="#222e4a"/><path d="M0 0L4 4V26H0z" fill="#78cdfa"/></svg>
<dt>Sink</dt><dd>The first words of a text. Many heads rest their attention there when they have nothing to look for. Every static head keeps
them.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><path d="M0 0L26 26H0z" fill="#222e4a"/><path d="M0 0L26 26H19L0 7z" fill="#78cdfa"/></svg>
<dt>Diagonal</dt><dd>Words at a fixed distance back: the word itself (distance 0), the one before it, and so on. A broad band is a head that reads
its neighbourhood.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><path d="M0 0L26 26H0z" fill="#222e4a"/><path d="M9 9l3 3V26H9z" fill="#78cdfa"/></svg>
<dt>Vertical</dt><dd>One word at a fixed place that nearly all later words look at.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><path d="M0 0L26 26H0z" fill="#222e4a"/><path d="M3 17h3v2H3zM12 22h3v2h-3zM7 11h2v2H7z" fill="#f0a51e"/></svg>
<dt>Retrieval head</dt><dd>A head that looks for a particular word wherever it stands, and so finds the fact that a question asks for. No fixed
pattern holds it; few heads are of this kind, and the answers hang on them. They get the treatments content or dense.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><rect width="26" height="26" rx="4" fill="#56b4e9"/></svg>
<dt>Static <span class="soft">(blue, plain border)</span></dt><dd>The head computes a fixed pattern: its diagonals, verticals and sinks, or, where that is
cheaper, sinks and a window of the last words.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><rect width="26" height="26" rx="4" fill="#704a10"/><path d="M0 10L10 0h7L0 17zM0 26v-2L24 0h2v5L5 26zM12 26l14-14v7l-7 7z" fill="#f0a51e"/></svg>
<dt>Content <span class="soft">(orange, hatched, dashed border)</span></dt><dd>The head chooses at run time, from the text itself, which blocks of words it
computes. The hatched triangle says: anything may be chosen.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><rect width="26" height="26" rx="4" fill="#cc79a7"/></svg>
<dt>Dense <span class="soft">(purple, filled, double border)</span></dt><dd>The head computes everything, as without a mask.</dd></div>
<div><svg viewBox="0 0 26 26" aria-hidden="true"><defs><linearGradient id="ramp"><stop offset="0" stop-color="#222e4a"/><stop offset="0.25" stop-color="#78349f"/><stop offset="0.5" stop-color="#cc475f"/><stop offset="0.75" stop-color="#faa032"/><stop offset="1" stop-color="#fffac8"/></linearGradient></defs><rect y="8" width="26" height="10" fill="url(#ramp)"/></svg>
<dt>Colours of the maps</dt><dd>Dark is no attention, pale yellow the most. In masks (true masks are green) the
brightness says how many of the pairs that a pixel stands for are kept.</dd></div>
</dl>
<h2>The figures</h2>
<dl class="terms plain">
<div><dt>Mass</dt><dd>Share of the attention seen in calibration that the head's static form holds: 1 is all of it. Content and dense heads have no such
form (-); in mean and smallest mass they count as 1.</dd></div>
<div><dt>Strong-key hit</dt><dd>Where one word holds much of the attention: how often the mask keeps that word. Low values betray retrieval
heads even where the mass is high.</dd></div>
<div><dt>Effect</dt><dd>How much the model's next word changes when this head alone is masked (divergence in nats): 0 is not at all.</dd></div>
<div><dt>Rank</dt><dd>Content heads compare words by a few directions of their keys; this many.</dd></div>
<div><dt>Diagonals, verticals</dt><dd>How many were found. Content and dense heads, and those with a window, do not use them.</dd></div>
<div><dt>Density</dt><dd>Share of all pairs that is computed for a text of the chosen length: the lower, the cheaper.</dd></div>
</dl>
)html";

}  // namespace damask::report

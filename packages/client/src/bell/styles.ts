/**
 * Distances are multiples of 4 px. The page can set colours, radius and font by `--belfry-…` properties. The element inherits the page's
 * `color-scheme`: a light page on a dark system has a light panel. Browsers without `light-dark()` use system colours, which follow it too.
 */
export const styles = `
:host {
  --_background: var(--belfry-background, Canvas);
  --_surface: var(--belfry-surface, color-mix(in srgb, CanvasText 5%, Canvas));
  --_text: var(--belfry-text, CanvasText);
  --_muted: var(--belfry-muted, color-mix(in srgb, CanvasText 68%, Canvas));
  --_line: var(--belfry-line, color-mix(in srgb, CanvasText 14%, Canvas));
  --_accent: var(--belfry-accent, LinkText);
  --_badge: var(--belfry-badge, #d92d3a);
  --_badge-text: var(--belfry-badge-text, #ffffff);
  --_notice: var(--belfry-notice, color-mix(in srgb, #e0a030 16%, Canvas));
  --_notice-text: var(--belfry-notice-text, CanvasText);
  --_problem: var(--belfry-problem, color-mix(in srgb, #d92d3a 70%, CanvasText));
  --_radius: var(--belfry-radius, 16px);
  --_font: var(--belfry-font, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif);
  display: inline-block;
  position: relative;
  font: 400 14px/20px var(--_font);
}
@supports (color: light-dark(#000000, #ffffff)) {
  :host {
    --_background: var(--belfry-background, light-dark(#ffffff, #17191e));
    --_surface: var(--belfry-surface, light-dark(#f4f5f7, #22252c));
    --_text: var(--belfry-text, light-dark(#16181d, #f2f3f5));
    --_muted: var(--belfry-muted, light-dark(#5c6370, #a3a9b5));
    --_line: var(--belfry-line, light-dark(#e6e8ec, #2d3139));
    --_accent: var(--belfry-accent, light-dark(#2f5bea, #8ea8ff));
    --_notice: var(--belfry-notice, light-dark(#fff6e0, #33291a));
    --_notice-text: var(--belfry-notice-text, light-dark(#6b4a00, #f2cf8d));
    --_problem: var(--belfry-problem, light-dark(#b4232f, #ff9aa0));
  }
}
:host([theme='light']) { color-scheme: light; }
:host([theme='dark']) { color-scheme: dark; }
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
button { font: inherit; color: inherit; background: none; border: 0; margin: 0; padding: 0; cursor: pointer; text-align: start; }
button:disabled { cursor: default; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
svg { display: block; flex: none; width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.bell { display: flex; align-items: flex-start; min-width: 40px; height: 40px; padding: 10px; border-radius: 12px; transition: background-color 120ms; }
.bell:hover, .bell[aria-expanded='true'] { background: color-mix(in srgb, currentColor 8%, transparent); }
.bell.ring svg { animation: ring 600ms ease-in-out; transform-origin: 50% 10%; }
/* The badge overlaps the corner of the icon and makes the button wider: it covers neither the bell nor the button's neighbour. */
.badge {
  flex: none; min-width: 16px; height: 16px; margin-block-start: -10px; margin-inline: -6px -10px; padding-inline: 4px;
  border-radius: 8px; background: var(--_badge); color: var(--_badge-text); font-size: 11px; font-weight: 600; line-height: 16px;
  text-align: center; white-space: nowrap; font-variant-numeric: tabular-nums; pointer-events: none;
}
.badge:empty { display: none; }

.panel {
  position: fixed; z-index: 2147483000; inset: auto; margin: 0; padding: 0; display: none; flex-direction: column;
  width: var(--_width); max-height: min(600px, calc(100dvh - 32px)); overflow: hidden;
  background: var(--_background); color: var(--_text); border: 1px solid var(--_line); border-radius: var(--_radius);
  box-shadow: 0 1px 2px rgb(10 14 25 / 6%), 0 16px 40px -8px rgb(10 14 25 / 24%);
}
.panel.open { display: flex; animation: appear 140ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.panel:focus-visible { outline: none; }
.head { display: flex; align-items: center; gap: 8px; padding: 16px 12px 12px 20px; padding-inline: 20px 12px; border-block-end: 1px solid var(--_line); }
.head h2 { flex: 1; margin: 0; font-size: 16px; line-height: 24px; font-weight: 650; letter-spacing: -0.01em; }
.text-button { padding: 4px 8px; border-radius: 8px; color: var(--_accent); font-weight: 550; font-size: 13px; white-space: nowrap; }
.text-button:hover { background: var(--_surface); }
.text-button[hidden] { display: none; }
.notice { display: flex; align-items: center; gap: 8px; padding: 8px 12px 8px 20px; padding-inline: 20px 12px; background: var(--_notice); color: var(--_notice-text); font-size: 13px; }
.notice[hidden] { display: none; }
.notice span { flex: 1; }
.notice .text-button { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
.notice .text-button:hover { background: color-mix(in srgb, currentColor 10%, transparent); }

.scroll { flex: 1; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--_line) transparent; }
.list { list-style: none; margin: 0; padding: 8px; }
.list:empty { display: none; }
.item { position: relative; display: flex; flex-wrap: wrap; align-items: center; border-radius: 10px; }
.item:hover, .item:focus-within { background: var(--_surface); }
.item.fresh { animation: arrive 260ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.main { flex: 1; min-width: 0; display: grid; grid-template-columns: 8px minmax(0, 1fr); column-gap: 12px; padding: 10px 12px; border-radius: 10px; color: inherit; text-decoration: none; }
.main:focus-visible, .archive:focus-visible { outline-offset: -2px; }
.dot { width: 8px; height: 8px; margin-block-start: 6px; border-radius: 50%; background: var(--_accent); transform: scale(0); transition: transform 160ms; }
.item.unread .dot { transform: none; }
.title { unicode-bidi: plaintext; text-align: match-parent; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; color: var(--_muted); }
.item.unread .title { color: var(--_text); font-weight: 550; }
.time { grid-column: 2; color: var(--_muted); font-size: 12px; line-height: 16px; margin-block-start: 2px; }
.problem { grid-column: 2; color: var(--_problem); font-size: 12px; line-height: 16px; margin-block-start: 2px; }
.problem:empty { display: none; }
.archive { flex: none; display: grid; place-items: center; width: 32px; height: 32px; margin-inline-end: 8px; border-radius: 8px; color: var(--_muted); opacity: 0; }
.archive svg { width: 16px; height: 16px; }
.archive:hover { color: var(--_text); background: color-mix(in srgb, currentColor 10%, transparent); }
.item:hover .archive, .item:focus-within .archive { opacity: 1; }
@media (hover: none) { .archive { opacity: 1; } }

.actions { flex-basis: 100%; display: flex; flex-wrap: wrap; gap: 8px; padding: 0 12px 12px 32px; padding-inline: 32px 12px; }
.actions[hidden], .answer:empty { display: none; }
.choice { min-height: 28px; padding: 3px 12px; border: 1px solid var(--_line); border-radius: 8px; background: var(--_background); font-size: 13px; font-weight: 550; }
.choice:hover { border-color: var(--_accent); color: var(--_accent); }
.choice[aria-disabled] { color: var(--_muted); border-color: var(--_line); cursor: default; }
.choice[aria-busy] { animation: pulse 1.4s ease-in-out infinite; }
.answer { color: var(--_muted); font-size: 12px; line-height: 16px; overflow-wrap: anywhere; }
.toasts { position: fixed; z-index: 2147483000; inset-block-end: 16px; inset-inline-end: 16px; width: min(360px, calc(100vw - 32px)); display: grid; gap: 8px; }
.toast { display: flex; flex-wrap: wrap; align-items: center; border: 1px solid var(--_line); border-radius: var(--_radius); background: var(--_background); color: var(--_text); box-shadow: 0 16px 40px -8px rgb(10 14 25 / 24%); animation: arrive 260ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.toast .title { flex: 1; min-width: 0; margin: 12px 4px 12px 16px; margin-inline: 16px 4px; color: var(--_text); font-weight: 550; }
.toast .archive { opacity: 1; }
.toast .actions { padding-inline-start: 16px; }

.state { display: grid; justify-items: center; gap: 4px; padding: 48px 32px 56px; text-align: center; color: var(--_muted); }
.state[hidden] { display: none; }
.state .mark { display: grid; place-items: center; width: 48px; height: 48px; margin-block-end: 12px; border-radius: 50%; background: var(--_surface); color: var(--_muted); }
.state strong { color: var(--_text); font-weight: 600; }
.skeleton { padding: 8px; }
.skeleton[hidden] { display: none; }
.skeleton div { display: grid; gap: 8px; padding: 12px 12px 12px 32px; padding-inline: 32px 12px; }
.skeleton i { height: 12px; border-radius: 6px; background: var(--_line); animation: pulse 1.4s ease-in-out infinite; }
.skeleton i:first-child { width: 80%; }
.skeleton i:last-child { width: 32%; height: 8px; }
.end { height: 1px; }
.action-bar { display: flex; align-items: center; gap: 8px; padding: 8px 12px 8px 20px; padding-inline: 20px 12px; border-block-start: 1px solid var(--_line); font-size: 13px; }
.action-bar[hidden] { display: none; }
.action-bar span { flex: 1; }

@keyframes appear { from { opacity: 0; transform: translateY(-4px) scale(0.985); } }
@keyframes arrive { from { opacity: 0; transform: translateY(-8px); } }
@keyframes pulse { 50% { opacity: 0.5; } }
@keyframes ring { 0%, 100% { transform: rotate(0); } 20% { transform: rotate(12deg); } 40% { transform: rotate(-10deg); } 60% { transform: rotate(6deg); } 80% { transform: rotate(-3deg); } }
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .dot, .badge { forced-color-adjust: none; } .panel { border-color: CanvasText; } }
`

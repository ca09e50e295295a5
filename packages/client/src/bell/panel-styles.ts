/** The styles of the panel and the toasts, in addition to those in `styles.ts`. The build minifies the text. */
export const panelStyles = `
:host {
  --_surface: var(--belfry-surface, color-mix(in srgb, var(--_text) 5%, var(--_background)));
  --_muted: var(--belfry-muted, color-mix(in srgb, var(--_text) 70%, var(--_background)));
  --_line: var(--belfry-line, color-mix(in srgb, var(--_text) 12%, var(--_background)));
  --_problem: var(--belfry-problem, color-mix(in srgb, #d92d3a 70%, var(--_text)));
  --_radius: var(--belfry-radius, 16px);
}
.problem:empty, .answer:empty, .count:empty, .body:empty, .list:empty { display: none; }
.panel { display: flex; flex-direction: column; height: 100%; background: var(--_background); color: var(--_text); border: 1px solid var(--_line); border-radius: var(--_radius); overflow: clip; }
.panel:focus-visible, .scroll:focus-visible { outline: none; }
.panel[popover], .menu, .toast { box-shadow: 0 1px 2px rgb(10 14 25 / 6%), 0 16px 40px -8px rgb(10 14 25 / 24%); }
.panel[popover], .menu { position: fixed; z-index: 2147483000; inset: auto; margin: 0; padding: 0; display: none; left: var(--_x); top: var(--_top); bottom: var(--_bottom); }
.panel[popover] { width: 400px; max-width: calc(100% - 16px); height: auto; min-height: min(480px, var(--_height)); max-height: var(--_height); }
.panel.open { display: flex; }
.panel[popover].open { animation: appear 140ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.head { display: flex; align-items: center; gap: 4px; min-height: 56px; padding-block: 12px 4px; padding-inline: 20px 12px; }
.head slot { display: block; flex: 1 1 auto; min-width: 0; }
.head .text-button { flex-shrink: 10000; line-height: 16px; text-align: end; white-space: normal; }
h2 { margin: 0; overflow: hidden; text-overflow: ellipsis; font-size: 17px; line-height: 24px; font-weight: 650; letter-spacing: -0.01em; }
.text-button { padding: 4px 8px; border-radius: 8px; color: var(--_accent); font-weight: 550; font-size: 13px; white-space: nowrap; }
.text-button:hover { background: var(--_surface); }
.tool { flex: none; display: grid; place-items: center; width: 32px; height: 32px; border-radius: 8px; color: var(--_muted); }
.tool svg { width: 18px; height: 18px; }
[aria-haspopup='menu'] svg { stroke-width: 3; }
.close { display: none; }
.tool:hover, .tool[aria-expanded='true'] { color: var(--_text); background: color-mix(in srgb, var(--_text) 9%, var(--_background)); }

.tabs { display: flex; flex: none; padding-inline: 12px; border-block-end: 1px solid var(--_line); overflow-x: auto; scrollbar-width: none; }
.tab { position: relative; flex: none; display: flex; align-items: center; gap: 4px; padding: 8px 8px 10px; color: var(--_muted); font-size: 13px; font-weight: 550; border-radius: 8px 8px 0 0; }
.tab:hover, .tab[aria-selected='true'] { color: var(--_text); }
.tab[aria-selected='true']::after { content: ''; position: absolute; inset: auto 8px 0; height: 2px; border-radius: 2px 2px 0 0; background: var(--_accent); }
.tab:focus-visible { outline-offset: -2px; }
.count { min-width: 20px; padding-inline: 6px; border-radius: 10px; background: var(--_surface); color: var(--_muted); font-size: 11px; line-height: 18px; text-align: center; font-variant-numeric: tabular-nums; }
[aria-selected='true'] .count { background: color-mix(in srgb, var(--_accent) 14%, var(--_background)); color: var(--_text); }

.notice { display: flex; align-items: center; gap: 8px; padding-block: 8px; padding-inline: 20px 12px; background: var(--belfry-notice, color-mix(in srgb, #e0a030 16%, var(--_background))); color: var(--belfry-notice-text, var(--_text)); font-size: 13px; }
.notice span, .action-bar span { flex: 1; }
.notice .text-button, .action-bar .text-button { color: inherit; text-decoration: underline; text-underline-offset: 3px; }
.notice .text-button:hover, .action-bar .text-button:hover { background: color-mix(in srgb, currentColor 14%, transparent); }

.scroll { position: relative; flex: 1; display: flex; flex-direction: column; min-height: 0; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--_line) transparent; }
.scroll > * { flex: none; }
.top { position: sticky; z-index: 2; inset-block-start: 0; height: 0; display: grid; justify-items: center; }
.newer { height: 32px; margin-block-start: 12px; padding-inline: 14px; border-radius: 16px; background: var(--_accent); color: var(--_background); font-size: 13px; font-weight: 600; box-shadow: 0 4px 12px rgb(10 14 25 / 24%); animation: arrive 200ms; }
.start { height: 24px; margin-block-end: -24px; }
/* The end is tall, so that it comes into view before the last row. */
.end { height: 400px; margin-block-start: -400px; pointer-events: none; visibility: hidden; }
.list { list-style: none; margin: 0; padding: 8px; }
.item { position: relative; display: grid; grid-template-columns: 36px minmax(0, 1fr); column-gap: 12px; padding-block: 12px; padding-inline: 20px 40px; border-radius: 12px; }
.item:hover, .item:focus-within { background: var(--_surface); }
.item.fresh { animation: arrive 260ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.main { position: absolute; inset: 0; border-radius: 12px; }
.main:focus-visible { outline-offset: -2px; }
.dot { position: absolute; inset-block-start: 26px; inset-inline-start: 6px; width: 8px; height: 8px; border-radius: 50%; background: var(--_accent); transform: scale(0); transition: transform 160ms; }
.unread .dot { transform: none; }
.icon { grid-row: 1 / span 2; display: grid; place-items: center; width: 36px; height: 36px; border-radius: 10px; overflow: hidden; background: hsl(var(--_hue) 60% 50% / 18%); color: var(--_text); font-weight: 600; text-transform: uppercase; pointer-events: none; }
.icon img { width: 100%; height: 100%; object-fit: cover; }
.content { display: grid; gap: 2px; align-content: start; justify-items: start; pointer-events: none; }
.title, .body { unicode-bidi: plaintext; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; color: var(--_muted); }
.title { color: var(--_text); }
.unread .title { font-weight: 600; }
.body { white-space: pre-line; }
.expanded .body { display: block; }
.foot { grid-column: 2; position: relative; display: flex; align-items: baseline; gap: 8px; min-width: 0; margin-block-start: 4px; color: var(--_muted); font-size: 12px; line-height: 16px; pointer-events: none; white-space: nowrap; }
.date { overflow: hidden; text-overflow: ellipsis; opacity: 0; transition: opacity 120ms; }
.item:hover .date, .main:focus ~ .foot .date { opacity: 1; }
.more { margin-inline-start: auto; color: var(--_accent); font-weight: 550; border-radius: 4px; pointer-events: auto; }
.more:hover { text-decoration: underline; }
.own { grid-template-columns: 1fr; }
.own .content { grid-column: 1; }
.own .dot { inset-block-start: 18px; }
.own .icon, .own .title, .own .body, .own .foot { display: none; }
.own .content { pointer-events: auto; position: relative; cursor: pointer; }
.problem { grid-column: 2; color: var(--_problem); font-size: 12px; line-height: 16px; margin-block-start: 4px; }
.tools { position: absolute; inset-block-start: 4px; inset-inline-end: 6px; display: grid; opacity: 0; }
.tools .tool { width: 28px; height: 28px; }
.item:hover .tools, .item:focus-within .tools { opacity: 1; }
@media (hover: none) {
  .tools { opacity: 1; }
  .archive { display: none; }
}

.push { flex: none; display: flex; align-items: center; gap: 12px; padding: 10px 20px; border-block-start: 1px solid var(--_line); }
.push div { flex: 1; display: grid; }
.push strong { font-weight: 550; font-size: 13px; }
.push span { color: var(--_muted); font-size: 12px; line-height: 16px; }
.switch { flex: none; width: 36px; height: 20px; padding: 2px; border: 1px solid var(--_muted); border-radius: 10px; }
.switch::after { content: ''; display: block; width: 14px; height: 14px; border-radius: 50%; background: var(--_muted); transition: margin 120ms; }
.switch[aria-checked='true'] { border-color: var(--_accent); background: var(--_accent); }
.switch[aria-checked='true']::after { margin-inline-start: 16px; background: var(--_background); }

.menu { min-width: 176px; padding: 6px; border: 1px solid var(--_line); border-radius: 12px; background: var(--_background); color: var(--_text); }
.menu.open { display: grid; animation: appear 120ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.choose { padding: 8px 10px; border-radius: 8px; white-space: nowrap; }
.choose:hover, .choose:focus { background: var(--_surface); }
.choose:focus-visible { outline-offset: -2px; }

.actions { grid-column: 2; display: flex; flex-wrap: wrap; gap: 8px; margin-block-start: 8px; }
.choice { position: relative; max-width: 100%; min-height: 32px; overflow-wrap: anywhere; padding: 5px 14px; border: 1px solid var(--_line); border-radius: 8px; background: var(--_background); font-size: 13px; font-weight: 550; }
.choice:hover { border-color: var(--_accent); color: var(--_accent); }
.choice[aria-disabled] { color: var(--_muted); border-color: var(--_line); cursor: default; }
.answer { color: var(--_muted); font-size: 12px; line-height: 16px; overflow-wrap: anywhere; }
.toasts { position: fixed; z-index: 2147483000; inset-block-end: 16px; inset-inline-end: 16px; width: min(360px, calc(100vw - 32px)); max-width: calc(100% - 32px); display: grid; gap: 8px; }
.toast { display: grid; grid-template-columns: 1fr auto; align-items: start; padding-block: 4px; padding-inline: 16px 4px; border: 1px solid var(--_line); border-radius: var(--_radius); background: var(--_background); color: var(--_text); animation: arrive 260ms cubic-bezier(0.2, 0.8, 0.3, 1); }
.toast .title { margin-block: 8px; font-weight: 550; }
.toast .actions { grid-column: 1 / 3; margin-block: 0 12px; }

.state { display: grid; justify-items: center; gap: 4px; margin-block: auto; padding: 40px 32px 56px; text-align: center; color: var(--_muted); }
.state slot { display: contents; }
.mark { display: grid; place-items: center; width: 48px; height: 48px; margin-block-end: 12px; border-radius: 50%; background: var(--_surface); color: var(--_muted); }
.state strong { color: var(--_text); font-weight: 600; }
.skeleton { padding: 8px; }
.skeleton div { display: grid; gap: 8px; padding-block: 14px; padding-inline: 68px 12px; }
.skeleton i { height: 12px; border-radius: 6px; background: var(--_line); }
.skeleton i, .choice[aria-busy], .switch[aria-busy] { animation: pulse 1.4s ease-in-out infinite; }
.skeleton i:first-child { width: 80%; }
.skeleton i:last-child { width: 32%; height: 8px; }
.action-bar { flex: none; display: flex; align-items: center; gap: 8px; margin: 8px; padding-block: 6px; padding-inline: 16px 8px; border-radius: 12px; background: var(--_text); color: var(--_background); font-size: 13px; animation: arrive 200ms; }
.action-bar :focus-visible { outline-color: currentColor; }

@media (max-width: 479.98px) {
  .panel[popover] { inset: 0; width: 100%; max-width: none; height: 100%; min-height: 0; max-height: none; border: 0; border-radius: 0; }
  [popover] .close { display: grid; }
}
@keyframes appear { from { opacity: 0; transform: translateY(-4px) scale(0.985); } }
@keyframes arrive { from { opacity: 0; transform: translateY(-8px); } }
@keyframes pulse { 50% { opacity: 0.5; } }
@media (forced-colors: active) {
  .dot, .tab::after, .switch, .switch::after { forced-color-adjust: none; }
  .icon, .newer, .action-bar { border: 1px solid; }
  .panel, .menu { border-color: CanvasText; }
  .choose:focus { outline: 2px solid Highlight; }
}
`

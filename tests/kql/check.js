// Parses and type-checks KQL with Microsoft's language service, against tables made by a script.
// Standard input: {"script": "<.create ... commands>", "queries": {"<name>": "<text>"}}.
// Standard output: {"commands": [{text, diagnostics}], "queries": {"<name>": {diagnostics, columns}}}.
'use strict';

const folder = process.argv[2] + '/node_modules/@kusto/language-service-next/';
require(folder + 'bridge.js');
require(folder + 'Kusto.Language.Bridge.js');
const L = Kusto.Language;

const listed = (list) =>
  Array.from({ length: System.Array.getCount(list) }, (_, i) => System.Array.getItem(list, i));

function analysed(text, globals) {
  const code = L.KustoCode.ParseAndAnalyze(text, globals, null);
  const diagnostics = listed(code.GetDiagnostics()).map((d) => ({
    code: d.Code,
    severity: d.Severity,
    message: d.Message,
    at: text.slice(d.Start, d.Start + Math.max(d.Length, 1)),
  }));
  const type = code.ResultType;
  const columns =
    type && type.Columns
      ? listed(type.Columns).map((c) => [c.Name, c.Type ? c.Type.Name : null])
      : null;
  return { kind: code.Kind, diagnostics, columns };
}

// Commands begin at a line that starts with a dot, outside ``` fences.
function commands(script) {
  const found = [];
  let fenced = false;
  for (const line of script.split('\n')) {
    if (!fenced && line.startsWith('//')) continue;
    if (!fenced && line.startsWith('.')) found.push([]);
    if (line.startsWith('```')) fenced = !fenced;
    if (found.length) found[found.length - 1].push(line);
  }
  return found.map((lines) => lines.join('\n').trim());
}

function globalsOf(symbols) {
  const database = new L.Symbols.DatabaseSymbol.ctor('rti', symbols);
  return L.GlobalState.Default.WithDatabase(database);
}

function symbolsOf(all) {
  const symbols = [];
  for (const text of all) {
    const table = /^\.create-merge table (\w+) (\([^)]*\))/.exec(text);
    if (table) symbols.push(new L.Symbols.TableSymbol.$ctor7(table[1], table[2], null));
    const made = /^\.create-or-alter function with \([^)]*\) (\w+)\(\) (\{[\s\S]*\})$/.exec(text);
    if (made) symbols.push(new L.Symbols.FunctionSymbol.$ctor16(made[1], '()', made[2], null));
    const view = /^\.create-or-alter materialized-view with \([^)]*\) (\w+) on table \w+ \{([\s\S]*)\}$/.exec(text);
    if (view) {
      const columns = analysed(view[2], globalsOf(symbols)).columns;
      const schema = '(' + columns.map(([n, t]) => `['${n}']: ${t}`).join(', ') + ')';
      symbols.push(new L.Symbols.MaterializedViewSymbol.$ctor3(view[1], schema, view[2], null));
    }
  }
  return symbols;
}

const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const all = commands(given.script);
const globals = globalsOf(symbolsOf(all));
const answer = { commands: [], queries: {} };
for (const text of all) answer.commands.push({ text, ...analysed(text, globals) });
for (const [name, text] of Object.entries(given.queries)) {
  answer.queries[name] = analysed(text, globals);
}
process.stdout.write(JSON.stringify(answer));

// Computes the winners of a draw again from the published list and the seed; docs/quota-draw.md describes it.
// Usage: node winners.mjs list.txt 012345 > result.txt
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const [path, seed] = process.argv.slice(2);
const sha256 = (data) => createHash("sha256").update(data).digest();
const list = readFileSync(path);
const seal = sha256(list).toString("hex");
const [header, ...lines] = list.toString("ascii").trimEnd().split("\n");
const quotas = Number(header.split(" ")[5]);
const entrants = lines.map((line) => line.split(" ")).map(([code, tier]) => [code, Number(tier)]);

const numbers = []; // the code of each base number
for (let tier = 1, again = entrants; again.length > 0; tier += 1) {
  again = again.filter((entrant) => entrant[1] >= tier);
  for (const [code] of again) numbers.push(code);
}

let block, counter = 0, offset = 32;
function word() {
  if (offset === 32) {
    block = sha256(`${seal}:${seed}:${counter}`);
    counter += 1;
    offset = 0;
  }
  offset += 4;
  return block.readUInt32BE(offset - 4);
}
function below(limit) {
  for (;;) {
    const drawn = word();
    if (drawn < 2 ** 32 - (2 ** 32 % limit)) return drawn % limit;
  }
}

const order = numbers.map((_, at) => at);
const won = new Map();
const wanted = Math.min(quotas, entrants.length);
for (let at = 0; won.size < wanted; at += 1) {
  const drawn = at + below(order.length - at);
  [order[at], order[drawn]] = [order[drawn], order[at]];
  const code = numbers[order[at]];
  if (!won.has(code)) won.set(code, order[at] + 1);
}
const result = [`quota-draw-result 1 ${seal} ${seed}`, ...[...won].map(([code, number]) => `${number} ${code}`)];
process.stdout.write(result.join("\n") + "\n");

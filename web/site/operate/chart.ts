// Lines and bands as paths of SVG, in a box of 100 by 100 that is stretched to where it is shown.

type Value = number | undefined;

/** ceiling returns the least of 1, 2 and 5 times a power of ten that is not below the value; 1 of nothing. */
export function ceiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * (1 - 1e-9))!;
}

const round = (n: number) => Math.round(n * 100) / 100;
const x = (i: number, count: number) => round(count > 1 ? (i / (count - 1)) * 100 : 50);
const y = (value: number, top: number) => round(100 - (Math.min(Math.max(value, 0), top) / top) * 100);

/** line returns the path through the values, with a gap where there is none. */
export function line(values: Value[], top: number): string {
  let path = '';
  let pen = 'M';
  values.forEach((v, i) => {
    if (v === undefined) {
      pen = 'M';
      return;
    }
    path += `${pen}${x(i, values.length)} ${y(v, top)}`;
    // A value without neighbours is a point, which a line of no length with round ends shows.
    if (pen === 'M' && values[i + 1] === undefined) path += 'h0';
    pen = 'L';
  });
  return path;
}

/** band returns the area between two lines, in as many pieces as both are known in. */
export function band(low: Value[], high: Value[], top: number): string {
  let path = '';
  for (let i = 0; i < low.length; i++) {
    const from = i;
    while (i < low.length && low[i] !== undefined && high[i] !== undefined) i++;
    if (i === from) continue;
    const at = Array.from({ length: i - from }, (_, n) => from + n);
    const over = at.map((n) => `${x(n, low.length)} ${y(high[n]!, top)}`);
    const under = at.reverse().map((n) => `${x(n, low.length)} ${y(low[n]!, top)}`);
    path += `M${[...over, ...under].join('L')}Z`;
  }
  return path;
}

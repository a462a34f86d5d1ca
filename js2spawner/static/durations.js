// How this hub writes spans of time, on every page alike.

/** 0.2 → "under 1 s", 42 → "42 s", 95 → "1 min 35 s", 7260 → "2 h 1 min". */
export function span(seconds) {
  const whole = Math.round(seconds);
  if (whole < 1) return "under 1 s";
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), "min", whole % 60, "s");
  return joined(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
}

/** 0.2 → "under 1 s", 42 → "0:42", 3725 → "1:02:05": for a clock that ticks. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const tail = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** What a typical time {p50_s, p90_s} says in words; "" when there is none. */
export function usually(typical) {
  if (!typical) return "";
  const half = span(typical.p50_s);
  const most = span(typical.p90_s);
  return half === most ? `usually ${half}` : `usually ${half}, nearly always under ${most}`;
}

function joined(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

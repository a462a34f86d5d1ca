// What the choice page offers for one image, one flavor and the rest of a choice, as values. No page, no clock.
//
// `choices` is what the hub says can be had (options_shown.py says its shape); `picked` is {image, flavor, region, home,
// idle}. The hub checks every choice again.

import { span, usually } from "./durations.js";

// Neither that a price is dear nor that files will be lost: those one has to say oneself.
const NAMED_BY_LINKS = ["image", "flavor", "region", "home", "idle", "fallback"];

/** What stands behind "#": an image (the page of saved images names one), or options=values of the form. */
export function named(behind) {
  if (!behind.includes("=")) return [["image", behind]];
  return [...new URLSearchParams(behind)].filter(([name]) => NAMED_BY_LINKS.includes(name));
}

/** Everything that depends on the choice. */
export function offered(choices, picked) {
  const image = choices.images.find(({ name }) => name === picked.image);
  const flavor = choices.flavors.find(({ name }) => name === picked.flavor);
  if (!image) return null;
  const keeps = Boolean(image.home?.keeps);
  const without = keeps && picked.home === "none";
  // A home is in one region and cannot leave it: who wants it goes there.
  const bound = keeps && !without && choices.home?.kind === image.home.kind ? choices.home : null;
  return {
    image,
    flavor,
    flavors: choices.flavors.map((each) => flavorFor(each, image, picked.region || bound?.region)),
    home: { can: keeps, loses: image.home ? !keeps || without : false },
    idle: idle(image, flavor, without),
    regions: (choices.regions ?? []).map((each) => regionFor(each, image, bound)),
    fallback: image.further_words ?? "",
    confirm: (flavor && image.confirm?.[flavor.name]) || "",
  };
}

function flavorFor(flavor, image, region) {
  const fits = image.flavors.includes(flavor.name);
  const there = (region && flavor.rooms?.[region]) || flavor;
  const usable = flavor.usable && fits;
  const told = !flavor.usable ? flavor.why_not : fits ? there.room_text : `${image.title} does not run on it.`;
  return { name: flavor.name, title: flavor.title, usable, room: usable ? there.room : "off", told };
}

function idle(image, flavor, without) {
  return (image.idle ?? []).map((way) => ({
    value: way.value,
    title: way.title,
    told: without && way.value === "delete" ? "All your files are lost. Costs nothing afterwards." : way.words,
    price: !way.su_share ? "0 SU per hour" : flavor && flavor.su_per_hour !== null ? `${round(way.su_share * flavor.su_per_hour)} SU per hour` : "costs on",
  }));
}

function regionFor(region, image, bound) {
  const place = image.regions?.find(({ name }) => name === region.name);
  if (!place) return { name: region.name, usable: false, told: `${image.title} is not started there.`, state: region.state };
  if (bound && bound.region !== region.name) {
    return { name: region.name, usable: false, told: `Your home is in ${bound.title}; start without it to start here.`, state: region.state };
  }
  const told = place.usable ? region.words || "Answers." : place.why_not;
  return { name: region.name, usable: place.usable, told, state: region.state };
}

/** The line of facts beside the button. */
export function facts(choices, { image, flavor, home }, picked, moved) {
  const typical = usually(choices.typical[`${image.name}|${flavor.name}`]);
  const region = (choices.regions ?? []).find(({ name }) => name === picked.region);
  return [
    moved ? `moved from ${moved}, which does not run this image` : "",
    flavor.su_per_hour === null ? "" : `${round(flavor.su_per_hour)} SU per hour`,
    region ? `in ${region.title}` : "",
    home.loses ? "no home: all files are deleted at its end" : "",
    typical ? `start takes ${typical}` : "typical start not known yet",
    life(image.profile, picked.idle),
  ].filter(Boolean);
}

function life({ idle_minutes: idleMinutes, longest_hours: longest }, chosen) {
  const end = chosen === "shelve" ? "goes on the shelf" : "ends";
  if (chosen === "keep") return longest ? `ends after ${hours(longest)}, used or not` : "runs until you stop it";
  if (idleMinutes && longest) return `${end} after ${span(60 * idleMinutes)} idle, or ${hours(longest)}`;
  if (idleMinutes) return `${end} after ${span(60 * idleMinutes)} idle`;
  return longest ? `${end} after ${hours(longest)}` : "runs until you stop it";
}

function hours(number) {
  return `${round(number)} h`;
}

function round(number) {
  return Math.round(100 * number) / 100;
}

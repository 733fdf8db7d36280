// Package bot judges a request at a beacon or link by what it carries: is it a person's, a machine's, or
// can that not be known? Time and bursts are judged elsewhere, by those who see more than one request.
//
// Every verdict has a reason, from a small fixed vocabulary that holds nothing of the request. The user
// agent is reduced to the families of client, system and device; neither it nor the address is kept or
// returned. Judging never fails, takes no memory and looks nothing up outside the process.
//
// The crawlers, proxies, scanners and networks are data, in the directory data with their sources. Lists
// adds networks of files, which may be replaced while it judges; Updater fetches such a file.
//
//   - An image proxy (Gmail, Yahoo Mail, …) fetches when a person opens: a person, from an unknown region.
//   - Apple Mail Privacy Protection fetches whether or not anybody opens: unverifiable, region unknown.
//   - A scanner's network makes a click a machine's. It says nothing about an open, because the
//     same networks fetch images for people.
//   - DNT: 1 and Sec-GPC: 1 make the request private, whatever the verdict.
//   - A client that nobody knows is unverifiable: it is counted, apart.
package bot

//go:generate sh data/update.sh

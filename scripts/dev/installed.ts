// Says by its exit code whether node_modules holds what package-lock.json asks for, whoever installed it. npm keeps what
// it put there in node_modules/.package-lock.json; comparing the two spares a working tree a needless `npm ci`.
import { existsSync, readFileSync } from 'node:fs';

interface LockedPackage { readonly version?: string; readonly integrity?: string; readonly optional?: boolean }
interface Lock { readonly packages: Readonly<Record<string, LockedPackage>> }

function read(path: string): Lock['packages'] {
  return (JSON.parse(readFileSync(path, 'utf8')) as Lock).packages;
}

function isInstalled(): boolean {
  const installedLock = 'node_modules/.package-lock.json';
  if (!existsSync(installedLock)) return false;
  const wanted = read('package-lock.json');
  const installed = read(installedLock);
  const missing = Object.entries(wanted).filter(([path, { version, integrity, optional }]) => {
    if (path === '') return false;
    const present = installed[path];
    // Optional ones for other platforms are never there.
    if (present === undefined) return optional !== true;
    return present.version !== version || present.integrity !== integrity || !existsSync(path);
  });
  const surplus = Object.keys(installed).filter((path) => wanted[path] === undefined);
  return missing.length === 0 && surplus.length === 0;
}

process.exit(isInstalled() ? 0 : 1);

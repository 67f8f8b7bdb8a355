/**
 * Choices that the browser remembers, and the colour scheme.
 */
import { useEffect, useState } from 'preact/hooks';

/** Like useState, kept in the browser under the name. */
export function useSetting<T>(name: string, initial: T): [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => {
    try {
      const kept = localStorage.getItem(`sightline.${name}`);
      return kept === null ? initial : (JSON.parse(kept) as T);
    } catch {
      return initial; // a browser that keeps nothing
    }
  });
  return [
    value,
    (next) => {
      setValue(next);
      try {
        localStorage.setItem(`sightline.${name}`, JSON.stringify(next));
      } catch {
        // The choice holds until the page is closed.
      }
    },
  ];
}

export type Theme = 'system' | 'light' | 'dark';

/** Puts the theme on the page. Returns whether it is dark now. */
export function useDark(theme: Theme): boolean {
  const query = matchMedia('(prefers-color-scheme: dark)');
  const [systemIsDark, setSystem] = useState(query.matches);
  useEffect(() => {
    const update = (): void => setSystem(query.matches);
    query.addEventListener('change', update);
    return () => query.removeEventListener('change', update);
  }, []);
  const isDark = theme === 'dark' || (theme === 'system' && systemIsDark);
  document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
  return isDark;
}

/** Lines of runs: distinguishable also with the common kinds of colour blindness (after Okabe and Ito, 2008). */
export function runColour(index: number, isDark: boolean): string {
  const colours = isDark
    ? ['#4fd1c0', '#f2a65a', '#8ab4f8', '#f28bb4', '#d9d36c', '#b89cf0', '#9aa5b1']
    : ['#0f766e', '#c2570c', '#2f6fc4', '#b83280', '#8a7d00', '#6b46c1', '#5f6b76'];
  return colours[index % colours.length]!;
}

/** Parts of a whole that lie on one another: as many as there are parts of a step, and one more for the rest. */
export function partColour(index: number, isRest: boolean, isDark: boolean): string {
  if (isRest) return isDark ? '#5b666e' : '#b6bec4';
  const colours = isDark
    ? ['#8ab4f8', '#4fd1c0', '#b89cf0', '#d9d36c', '#f28bb4', '#f2a65a', '#e8704a', '#9ccc65']
    : ['#2f6fc4', '#0f766e', '#6b46c1', '#8a7d00', '#b83280', '#c2570c', '#8f2d0f', '#4d7c0f'];
  return colours[index % colours.length]!;
}

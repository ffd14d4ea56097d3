import { checkServerIdentity, type PeerCertificate } from 'node:tls';

const NAMES_MAX = 5;
const NAME_CHARS_MAX = 100;

/** Why a certificate is not the one of `host`, in words that say whose it is; null where it is. */
export function identityProblem(host: string, certificate: PeerCertificate): string | null {
  if (checkServerIdentity(host, certificate) === undefined) return null;
  const names = namesOf(certificate);
  if (names.length === 0) return `its certificate names no host, and so not ${host}`;
  const shown = names.slice(0, NAMES_MAX).map((name) => name.slice(0, NAME_CHARS_MAX));
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return `its certificate is for ${shown.join(', ')}${more}, not for ${host}`;
}

/** The hosts and addresses that a certificate is for; its common name counts only where it has none. */
function namesOf({ subject, subjectaltname }: PeerCertificate): readonly string[] {
  const alternatives = [
    ...(subjectaltname ?? '').matchAll(/(?:^|, )(?:DNS|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g),
  ].map(([, name]) => name!);
  if (alternatives.length > 0) return alternatives;
  const common: string | string[] | undefined = subject?.CN;
  return common === undefined ? [] : [common].flat();
}

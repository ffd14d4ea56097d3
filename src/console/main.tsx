import { render } from 'preact';
import { followGateway } from './api/live.ts';
import { App } from './app.tsx';
import { gatherLiveNumbers } from './overview/live-numbers.ts';
import { followAddress } from './state/route.ts';
import './style/base.css';
import './style/parts.css';
import './style/views.css';

followAddress();
gatherLiveNumbers();
followGateway();
render(<App />, document.getElementById('console')!);

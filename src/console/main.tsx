import { render } from 'preact';
import { followGateway } from './api/live.ts';
import { App } from './app.tsx';
import { gatherLiveNumbers } from './overview/live-numbers.ts';
import { followPause } from './state/pause.ts';
import { followAddress } from './state/route.ts';
import './style/base.css';
import './style/parts.css';
import './style/views.css';

followAddress();
gatherLiveNumbers();
followPause();
followGateway();
render(<App />, document.getElementById('console')!);
